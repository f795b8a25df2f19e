//! One answer as it comes.

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::HeaderMap;
use sandboxer_model::error::UserError;

use crate::address::Address;
use crate::error::{garbled, innermost, unreachable};

/// An answer that has begun.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) address: Address,
    pub(crate) what: String,
}

impl Answer {
    /// Status, headers and the whole body, if it is not too large.
    pub(crate) async fn whole(mut self, most: usize) -> Result<(u16, HeaderMap, Bytes), UserError> {
        let mut body = Vec::new();
        loop {
            match self.response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > most => {
                    let why = format!("it is longer than {most} bytes");
                    return Err(garbled(&self.address, &self.what, &why));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(unreachable(&self.address, &self.what, &innermost(&error), 1)),
            }
        }
        let status = self.response.status().as_u16();
        let headers = std::mem::take(self.response.headers_mut());
        Ok((status, headers, body.into()))
    }
}
