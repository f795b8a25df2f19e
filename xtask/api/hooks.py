"""What schemathesis needs to know about this API beyond its document."""

import os
import re

import schemathesis

#: The key a run uses. Without it the rest of the run would be 401.
OWN_KEY = os.environ["SBX_OWN_KEY"]
SPAN = re.compile(r"[0-9]{1,9}[smhd]")


@schemathesis.serializer("application/x-tar")
def tar(_context, value):
    """An archive is bytes; hardly any that are made up are one."""
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


@schemathesis.hook
def filter_case(_context, case):
    """Administrators may revoke and rotate keys, but not the one that they are using."""
    return not (case.operation.path.startswith("/v1/keys/") and (case.path_parameters or {}).get("id") == OWN_KEY)


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Nobody waits for longer than a second; time-outs that are none stay as they are. Events are asked for as pages: a stream of them
    stays silent until something happens, and has tests of its own."""
    path = case.operation.path
    if path == "/v1/events":
        case.headers["Accept"] = "application/json"
    elif path.endswith("/wait") or (case.method == "POST" and path == "/v1/sandboxes"):
        hurry(case.query)
    elif case.method == "POST" and path.endswith("/exec"):
        hurry(case.body)


def hurry(holder):
    if isinstance(holder, dict):
        timeout = holder.get("timeout", "60s")
        if isinstance(timeout, str) and SPAN.fullmatch(timeout):
            holder["timeout"] = "1s"
