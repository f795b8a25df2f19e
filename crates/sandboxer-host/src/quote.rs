//! The one function that makes a shell word of any bytes.

/// A value that no argument can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a NUL byte cannot be part of an argument")]
pub struct NulByte;

/// The bytes as one word for a POSIX shell, whatever is in them: in single quotes, within which nothing but the quote
/// itself has a meaning.
///
/// # Errors
/// A NUL byte ends an argument for the kernel, so it cannot be passed on.
pub fn shell(bytes: &[u8]) -> Result<Vec<u8>, NulByte> {
    if bytes.contains(&0) {
        return Err(NulByte);
    }
    let mut word = Vec::with_capacity(bytes.len() + 2);
    word.push(b'\'');
    for byte in bytes {
        match byte {
            b'\'' => word.extend_from_slice(br"'\''"),
            other => word.push(*other),
        }
    }
    word.push(b'\'');
    Ok(word)
}
