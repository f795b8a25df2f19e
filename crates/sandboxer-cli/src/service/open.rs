//! Which of the two does the work, and how it is reached.

use std::path::PathBuf;
use std::sync::Arc;

use sandboxer_client::{Address, ApiKey, Client, Settings};
use sandboxer_engine::Engine;
use sandboxer_extension::port::SystemIds;
use sandboxer_model::error::UserError;

use super::Service;
use crate::context::{Context, Warm};
use crate::env;
use crate::error::usage;
use crate::output::progress::Reporter;

impl Context {
    /// A client of the server to work against; `None`: this machine does the work.
    ///
    /// # Errors
    /// Its address, key or authorities make no sense.
    pub(crate) fn remote(&self) -> Result<Option<Client>, UserError> {
        let Some(address) = &self.api else { return Ok(None) };
        let key = env::API_KEY
            .get()
            .map(|key| ApiKey::new(key.to_string_lossy().trim()))
            .transpose()?;
        let client = Client::new(Settings {
            address: Address::parse(address)?,
            key,
            authorities: env::API_CA.get().map(|file| self.working_dir.join(PathBuf::from(file))),
            clock: Arc::clone(&self.clock),
            ids: Arc::new(SystemIds),
        })?;
        Ok(Some(client))
    }

    /// Who does the work. Here, what earlier commands left undone is finished first.
    ///
    /// # Errors
    /// The database cannot be used, or no server can be meant.
    pub(crate) async fn service(&self, reporter: &Reporter) -> Result<Service, UserError> {
        match self.remote()? {
            Some(client) => Ok(Service::Remote(client)),
            None => self.engine(reporter).await.map(Service::Embedded),
        }
    }

    /// The same, and nothing is finished first: that would change what is to be shown.
    ///
    /// # Errors
    /// As [`Context::service`].
    pub(crate) async fn service_as_is(&self) -> Result<Service, UserError> {
        match self.remote()? {
            Some(client) => Ok(Service::Remote(client)),
            None => Ok(embedded(self.open(self.extensions(Warm::No)?).await?)),
        }
    }

    /// The same for a look only: where there is no database, none is made.
    ///
    /// # Errors
    /// As [`Context::service`].
    pub(crate) async fn service_to_look(&self) -> Result<Service, UserError> {
        match self.remote()? {
            Some(client) => Ok(Service::Remote(client)),
            None => Ok(embedded(self.open_to_look(self.extensions(Warm::No)?).await?)),
        }
    }

    /// For a verb that is about this machine and no other.
    ///
    /// # Errors
    /// `Usage`: a server was named on the command line. One that the environment names is meant for other verbs.
    pub(crate) fn only_here(&self, verb: &str) -> Result<(), UserError> {
        if self.api_on_command_line {
            return Err(usage(format!("`{verb}` is about this machine, not about a server")).hint("leave `--api` out"));
        }
        Ok(())
    }
}

/// It lives as long as the process.
fn embedded(engine: Engine) -> Service {
    Service::Embedded(Box::leak(Box::new(engine)))
}
