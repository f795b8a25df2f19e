//! What a caller sends to be known: `sbx_live_<id>_<secret>`.

use sandboxer_extension::port::IdSource;

const ID: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const SECRET: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A fresh public part and the token it is part of.
///
/// # Errors
/// The machine has no randomness to give.
pub(super) fn fresh(ids: &dyn IdSource) -> std::io::Result<(String, String)> {
    let id = random(ids, ID, 8)?;
    let secret = random(ids, SECRET, 32)?;
    let token = format!("sbx_live_{id}_{secret}");
    Ok((id, token))
}

/// So many characters, each as likely as any other.
fn random(ids: &dyn IdSource, of: &[u8], len: usize) -> std::io::Result<String> {
    // Bytes from here on would make the first characters likelier.
    let fair = 256 - 256 % of.len();
    let mut text = String::with_capacity(len);
    while text.len() < len {
        for byte in ids.key()? {
            let at = usize::from(byte);
            if at < fair
                && text.len() < len
                && let Some(character) = of.get(at % of.len())
            {
                text.push(char::from(*character));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sandboxer_extension::port::SystemIds;

    use super::*;

    #[test]
    fn tokens_have_their_shape_and_differ() {
        let made: BTreeSet<_> = (0..100).map(|_| fresh(&SystemIds).unwrap()).collect();
        assert_eq!(made.len(), 100);
        for (id, token) in made {
            let secret = token.strip_prefix(&format!("sbx_live_{id}_")).unwrap();
            assert!(id.len() == 8 && id.bytes().all(|b| ID.contains(&b)), "{id}");
            assert!(secret.len() == 32 && secret.bytes().all(|b| SECRET.contains(&b)));
        }
    }

    #[test]
    fn every_character_comes_up() {
        let text = random(&SystemIds, SECRET, 5_000).unwrap();
        assert_eq!(text.bytes().collect::<BTreeSet<_>>().len(), SECRET.len());
    }
}
