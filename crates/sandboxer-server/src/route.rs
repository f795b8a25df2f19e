//! What a route is: everything about one operation of the API in one place. The router, the API document, the docs page and the
//! tests of who may do what are all made from the same table, so that they cannot differ.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::Method;
use sandboxer_api::identity::Grant;
use sandboxer_model::error::UserError;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use crate::answer::Answer;
use crate::call::Call;

/// Who may call an operation. There is no route without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a key.
    Public,
    /// Anybody with a valid key.
    AnyKey,
    /// Who has this grant.
    Grant(Grant),
}

/// What an operation takes beside its path and query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing; what is sent is not read.
    Nothing,
    /// One JSON value, bounded.
    Json,
    /// One JSON value, or nothing at all, which is the same as an empty object.
    MaybeJson,
    /// Bytes of this media type, streamed.
    Stream(&'static str),
    /// Nothing: the connection is upgraded to a WebSocket.
    WebSocket,
}

/// What becomes of an `Idempotency-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    /// It is not looked at: the operation changes nothing, or the same request twice is once anyway.
    No,
    /// The first answer is kept and given again.
    Replayed,
    /// It shows a secret, so its answer is not kept: the second time is refused.
    Once,
    /// The handler sees to it.
    ByHandler,
}

type Made<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// What does the work of an operation.
pub(crate) type Handler = Arc<dyn Fn(Call) -> Made<'static, Result<Answer, UserError>> + Send + Sync>;
/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What an operation answers.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The status.
    pub status: u16,
    /// What it means.
    pub meaning: &'static str,
    /// The schema of the body; none: it is no JSON.
    pub schema: Option<SchemaOf>,
    /// The media type of the body; empty: there is none.
    pub media_type: &'static str,
}

/// One operation of the API.
#[derive(Clone)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// Its name, such as `sandbox.create`.
    pub id: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What else a caller needs to know.
    pub notes: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What becomes of an `Idempotency-Key`.
    pub keyed: Keyed,
    /// How much of the server one request takes.
    pub effort: Effort,
    /// Whether it answers with an `ETag` and looks at `If-Match`.
    pub versioned: Versioned,
    /// What it answers when all is well.
    pub outcomes: Vec<Outcome>,
    /// The schema of its query.
    pub query: Option<SchemaOf>,
    /// The schema of its body.
    pub body: Option<SchemaOf>,
    pub(crate) handler: Handler,
}

/// How much of the server one request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// A moment, or time in which nothing is worked on.
    Little,
    /// Time in which it looks again and again: so many of one key at a time.
    Waits,
    /// It reads much: those of one key are carried out one after the other.
    Much,
}

/// Whether an operation is about one version of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioned {
    /// It is not.
    No,
    /// The answer carries an `ETag`.
    Shows,
    /// It does, and `If-Match` is looked at before.
    Checks,
}

impl Route {
    /// Whether the operation may change something.
    pub fn changes(&self) -> bool {
        self.method != Method::GET
    }

    /// The resource it belongs to: the first part of its name.
    pub fn tag(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("id", &self.id)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// A query that takes nothing.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// A body that takes nothing.
#[derive(Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

/// A route under construction: `Q` is what its query must be, `B` its body. What is declared here is what is enforced and
/// what the handler is given.
pub(crate) struct Builder<Q, B> {
    route: Route,
    types: std::marker::PhantomData<fn() -> (Q, B)>,
}

/// Begins a route. Who may call it stands at its beginning.
pub(crate) fn on(method: Method, path: &'static str, id: &'static str, access: Access) -> Builder<NoQuery, NoBody> {
    let keyed = if method == Method::POST {
        Keyed::Replayed
    } else {
        Keyed::No
    };
    let nothing: Handler = Arc::new(|_| Box::pin(async { Ok(Answer::empty(204)) }));
    Builder {
        route: Route {
            method,
            path,
            id,
            access,
            summary: "",
            notes: "",
            takes: Takes::Nothing,
            keyed,
            effort: Effort::Little,
            versioned: Versioned::No,
            outcomes: Vec::new(),
            query: None,
            body: None,
            handler: nothing,
        },
        types: std::marker::PhantomData,
    }
}

impl<Q, B> Builder<Q, B>
where
    Q: DeserializeOwned + JsonSchema + Send + 'static,
    B: DeserializeOwned + JsonSchema + Send + 'static,
{
    /// What it does.
    pub(crate) fn summary(mut self, summary: &'static str) -> Self {
        self.route.summary = summary;
        self
    }

    /// What else a caller needs to know.
    pub(crate) fn notes(mut self, notes: &'static str) -> Self {
        self.route.notes = notes;
        self
    }

    /// Its query.
    pub(crate) fn query<T: DeserializeOwned + JsonSchema + Send + 'static>(mut self) -> Builder<T, B> {
        self.route.query = Some(|generator| T::json_schema(generator));
        Builder {
            route: self.route,
            types: std::marker::PhantomData,
        }
    }

    /// Its body.
    pub(crate) fn body<T: DeserializeOwned + JsonSchema + Send + 'static>(mut self) -> Builder<Q, T> {
        self.route.takes = Takes::Json;
        self.route.body = Some(|generator| generator.subschema_for::<T>());
        Builder {
            route: self.route,
            types: std::marker::PhantomData,
        }
    }

    /// Its body, which may be left out.
    pub(crate) fn maybe_body<T: DeserializeOwned + JsonSchema + Send + 'static>(self) -> Builder<Q, T> {
        let mut builder = self.body::<T>();
        builder.route.takes = Takes::MaybeJson;
        builder
    }

    /// What it takes, where that is no JSON.
    pub(crate) fn takes(mut self, takes: Takes) -> Self {
        self.route.takes = takes;
        self
    }

    /// What becomes of an `Idempotency-Key`, where that is not what the method says.
    pub(crate) fn keyed(mut self, keyed: Keyed) -> Self {
        self.route.keyed = keyed;
        self
    }

    /// It reads much.
    pub(crate) fn reads_much(mut self) -> Self {
        self.route.effort = Effort::Much;
        self
    }

    /// It waits for something.
    pub(crate) fn waits(mut self) -> Self {
        self.route.effort = Effort::Waits;
        self
    }

    /// It is about one version of a thing.
    pub(crate) fn versioned(mut self, versioned: Versioned) -> Self {
        self.route.versioned = versioned;
        self
    }

    /// It answers this status with JSON of this type.
    pub(crate) fn answers<T: JsonSchema>(mut self, status: u16, meaning: &'static str) -> Self {
        self.route.outcomes.push(Outcome {
            status,
            meaning,
            schema: Some(|generator| generator.subschema_for::<T>()),
            media_type: "application/json",
        });
        self
    }

    /// It answers this status with something that is no JSON; with an empty media type: with nothing.
    pub(crate) fn answers_bytes(mut self, status: u16, media_type: &'static str, meaning: &'static str) -> Self {
        self.route.outcomes.push(Outcome {
            status,
            meaning,
            schema: None,
            media_type,
        });
        self
    }

    /// Who does the work.
    pub(crate) fn by<F, Fut>(mut self, work: F) -> Route
    where
        F: Fn(Call, Q, B) -> Fut + Send + Sync + Clone + 'static,
        Fut: Future<Output = Result<Answer, UserError>> + Send + 'static,
    {
        self.route.handler = Arc::new(move |mut call| {
            let work = work.clone();
            Box::pin(async move {
                let query = call.query::<Q>()?;
                let body = call.body::<B>()?;
                work(call, query, body).await
            })
        });
        self.route
    }
}
