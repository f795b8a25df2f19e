# A resolver for tests: every name below `.example` is 198.51.100.80, nothing else exists. Names it was asked for are
# appended to a file, one a line.
import socket
import sys

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    try:
        query, client = server.recvfrom(1024)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace"))
            at += 1 + query[at]
        name, question = ".".join(labels).lower(), query[12 : at + 5]
        with open(sys.argv[2], "a") as asked:
            asked.write(name + "\n")
        known = name.endswith(".example")
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x33\x64\x50" if known and question[-3] == 1 else b""
        flags = b"\x81\x80" if known else b"\x81\x83"
        count = b"\0\1" if answer else b"\0\0"
        server.sendto(query[:2] + flags + b"\0\1" + count + b"\0\0\0\0" + question + answer, client)
    except (IndexError, OSError):
        pass
