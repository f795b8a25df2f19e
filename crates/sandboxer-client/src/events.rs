//! What happened and happens.

use std::collections::VecDeque;
use std::time::Duration;

use sandboxer_api::page::{MOST, Page};
use sandboxer_api::sinks::ListedEvent;
use sandboxer_model::error::UserError;
use sandboxer_model::event::Event;

use crate::call::{Call, Wanted};
use crate::error::{garbled, late};
use crate::files::ByteStream;
use crate::retry::{Failure, Repeat, Tries};
use crate::sse::Frames;
use crate::transport::Client;

/// A server gives a sign of life every 15 s.
const SILENCE: Duration = Duration::from_secs(45);

/// Events as they happen. When the connection breaks, it is made again and nothing is missed or told twice.
pub struct Events {
    client: Client,
    stream: Option<ByteStream>,
    frames: Frames,
    ready: VecDeque<(String, Event)>,
    /// The last one that was told.
    position: Option<String>,
}

impl Client {
    /// Everything that happened, in order, from behind this position on.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn all_events(&self, after: Option<&str>) -> Result<Vec<ListedEvent>, UserError> {
        let mut all = Vec::new();
        let mut after = after.unwrap_or("0").to_owned();
        loop {
            let call = Call::get("v1/events")
                .header("accept", "application/json")
                .query("after", after.as_str())
                .query("limit", MOST.to_string());
            let mut page: Page<ListedEvent> = self.ask(call).await?;
            all.append(&mut page.items);
            match page.next_cursor {
                Some(next) => after = next,
                None => return Ok(all),
            }
        }
    }

    /// Events as they happen, from behind this position on; `None`: from now on.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn events(&self, after: Option<&str>) -> Result<Events, UserError> {
        let mut events = Events {
            client: self.clone(),
            stream: None,
            frames: Frames::default(),
            ready: VecDeque::new(),
            position: after.map(str::to_owned),
        };
        events.connect().await?;
        Ok(events)
    }
}

impl Events {
    /// What happens next, with its position. Waits for it, however long that takes.
    ///
    /// # Errors
    /// Those of the server; `Unavailable` once it cannot be reached again.
    pub async fn next(&mut self) -> Result<(String, Event), UserError> {
        let (clock, ids) = (self.client.shared.clock.clone(), self.client.shared.ids.clone());
        let mut tries = Tries::new(&*clock, &*ids);
        loop {
            if let Some((position, event)) = self.ready.pop_front() {
                self.position = Some(position.clone());
                return Ok((position, event));
            }
            match self.read().await {
                Ok(()) => tries = Tries::new(&*clock, &*ids),
                Err(error) => {
                    self.stream = None;
                    if !tries.again(Failure::Unheard(None), Repeat::Safe).await {
                        return Err(error);
                    }
                    // What is not allowed any more, such as with a key that was revoked, is an error at once.
                    self.connect().await?;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), UserError> {
        let mut call = Call::get("v1/events").wanted(Wanted::Stream("text/event-stream"));
        if let Some(position) = &self.position {
            call = call.header("last-event-id", position);
        }
        let answer = self.client.send(call).await?;
        self.frames = Frames::default();
        self.stream = Some(ByteStream::new(answer));
        Ok(())
    }

    /// Reads once; errors mean that the connection is of no use any more.
    async fn read(&mut self) -> Result<(), UserError> {
        let address = &self.client.shared.address;
        let ended = || garbled(address, "GET /v1/events", "the stream ended");
        let stream = self.stream.as_mut().ok_or_else(ended)?;
        let bytes = tokio::select! {
            bytes = stream.next() => bytes?.ok_or_else(ended)?,
            () = self.client.shared.clock.sleep(SILENCE) => return Err(late(address, "GET /v1/events", SILENCE.as_secs())),
        };
        let senseless = |why: &str| garbled(address, "GET /v1/events", why);
        for frame in self.frames.take(&bytes).map_err(senseless)? {
            let event = serde_json::from_str(&frame.data).map_err(|error| senseless(&error.to_string()))?;
            let position = frame.id.ok_or_else(|| senseless("an event has no position"))?;
            self.ready.push_back((position, event));
        }
        Ok(())
    }
}
