//! What every verb works with: options, places, the engine over this machine's ports.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use extension_compose_ssh::ComposeSshExtension;
use extension_native::{NativeExtension, Spare};
use extension_vm_packer::VmPackerExtension;
use sandboxer_engine::api::{DeliverLimits, Recovered};
use sandboxer_engine::catalog::{Catalog, Layers};
use sandboxer_engine::{Engine, Ports, Settings};
use sandboxer_extension::port::{Clock, SystemClock, SystemIds};
use sandboxer_extension::{Extension, Registry};
use sandboxer_host::{LocalExec, ProcessTable, SshSettings};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_store::Store;

use crate::args::{ColorMode, Globals, OutputMode};
use crate::env;
use crate::outbound;
use crate::output::color::Paint;
use crate::output::progress::{Reporter, Style};
use crate::output::shown;
use crate::output::timings::Timings;
use crate::verb::deliver;

/// How long reaching a host may take: a handshake takes less than a second, a lost packet three.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(6);

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For programs.
    Json,
    /// For people.
    Table,
}

/// Whether a backend should get ready while the database is being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Warm {
    /// A sandbox is about to be made.
    Up,
    /// Most commands need none.
    No,
}

/// What every verb works with.
pub(crate) struct Context {
    /// Time.
    pub(crate) clock: Arc<dyn Clock>,
    /// How data is printed.
    pub(crate) format: Format,
    /// Whether JSON was asked for by name.
    pub(crate) json_on_request: bool,
    /// Whether people want words beside the data.
    pub(crate) quiet: bool,
    /// Color on standard output.
    pub(crate) paint: Paint,
    /// Color on standard error.
    pub(crate) error_paint: Paint,
    /// Where records and sandboxes are kept, absolute.
    pub(crate) data_dir: PathBuf,
    /// Where relative paths start.
    pub(crate) working_dir: PathBuf,
    /// The address of the server to work against, as it was written; `None`: this machine.
    pub(crate) api: Option<String>,
    /// Whether that address is on the command line, and not only in the environment.
    pub(crate) api_on_command_line: bool,
    /// Where the time went.
    pub(crate) timings: Arc<Timings>,
    started: Duration,
    /// Waits to be the keeper of the sandbox that this command makes.
    spare: Mutex<Option<Spare>>,
    /// The engine of this command, once there is one.
    engine: OnceLock<&'static Engine>,
}

impl Context {
    /// The context of these options.
    ///
    /// # Errors
    /// No data directory can be told.
    pub(crate) fn new(
        globals: &Globals,
        clock: Arc<dyn Clock>,
        started: Duration,
        spare: Option<Spare>,
    ) -> Result<Context, UserError> {
        let working_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        Ok(Context {
            format: match globals.output {
                OutputMode::Json => Format::Json,
                OutputMode::Table => Format::Table,
                OutputMode::Auto if std::io::stdout().is_terminal() => Format::Table,
                OutputMode::Auto => Format::Json,
            },
            json_on_request: globals.output == OutputMode::Json,
            quiet: globals.quiet,
            paint: paint(globals.color, std::io::stdout().is_terminal()),
            error_paint: error_paint(globals.color),
            data_dir: working_dir.join(data_dir(globals.data_dir.as_deref())?),
            working_dir,
            api_on_command_line: globals.api.is_some(),
            api: globals
                .api
                .clone()
                .or_else(|| env::API.get().map(|address| address.to_string_lossy().into_owned())),
            clock,
            timings: Arc::default(),
            started,
            spare: Mutex::new(spare),
            engine: OnceLock::new(),
        })
    }

    /// Time since the start of the program.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.started)
    }

    /// A reporter of progress for this command.
    pub(crate) fn reporter(&self) -> Reporter {
        let live = !self.quiet && std::io::stderr().is_terminal() && !is_dumb();
        let style = match (self.quiet, live) {
            (true, _) => Style::Silent,
            (_, true) => Style::Live(self.error_paint),
            _ => Style::Plain,
        };
        Reporter::new(style, Arc::clone(&self.clock), self.started, Arc::clone(&self.timings))
    }

    /// A line for people on standard error, unless they want none.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{}", shown::painted(text));
        }
    }

    /// Where the profiles of this installation are.
    pub(crate) fn catalog(&self) -> Catalog {
        let absolute = |base: PathBuf| Some(base).filter(|base| base.is_absolute());
        let home = || {
            env::HOME
                .get()
                .and_then(|home| absolute(PathBuf::from(home).join(".config")))
        };
        let user = env::XDG_CONFIG_HOME
            .get()
            .and_then(|base| absolute(base.into()))
            .or_else(home);
        Catalog::new(Layers {
            system: Some(PathBuf::from("/etc/sandboxer/profiles")),
            user: user.map(|base| base.join("sandboxer/profiles")),
        })
    }

    /// The backends of this build. One that warms up does so beside whatever the caller does next.
    ///
    /// # Errors
    /// Two of them have one id: a bug.
    pub(crate) fn extensions(&self, warm: Warm) -> Result<Registry, UserError> {
        let from = self.elapsed();
        let native = NativeExtension::new(extension_native::Settings {
            data_dir: self.data_dir.clone(),
        });
        if warm == Warm::Up {
            native.prewarm(self.spare.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        let mut registry = Registry::new();
        registry
            .register(native)
            .map_err(|error| UserError::new(ErrorCode::Internal, error.to_string()))?;
        let compose = self.compose_settings()?;
        let machines = VmPackerExtension::new(extension_vm_packer::Settings {
            ssh: Arc::clone(&compose.ssh),
            data_dir: self.data_dir.clone(),
            tunnel_port: env::VM_TUNNEL_PORT
                .get()
                .map(|port| port.to_string_lossy().into_owned()),
            exec: Arc::new(LocalExec),
            clock: Arc::clone(&self.clock),
        });
        for extension in [ComposeSshExtension::new(compose) as Arc<dyn Extension>, machines] {
            registry
                .register(extension)
                .map_err(|error| UserError::new(ErrorCode::Internal, error.to_string()))?;
        }
        self.timings.note("start the backend", from, self.elapsed());
        Ok(registry)
    }

    /// How hosts are reached.
    pub(crate) fn ssh_settings(&self) -> SshSettings {
        let path = |variable: &env::Variable| variable.get().map(|value| self.working_dir.join(value));
        SshSettings {
            config_file: path(&env::SSH_CONFIG),
            user: env::SSH_USER.get().map(|user| user.to_string_lossy().into_owned()),
            key: path(&env::SSH_KEY),
            cert_command: env::CERT_COMMAND
                .get()
                .map(|command| command.to_string_lossy().into_owned()),
            connect_timeout: CONNECT_TIMEOUT,
            state_dir: self.data_dir.join("ssh"),
        }
    }

    /// How hosts are reached and used.
    fn compose_settings(&self) -> Result<extension_compose_ssh::Settings, UserError> {
        let text = |variable: &env::Variable| variable.get().map(|value| value.to_string_lossy().into_owned());
        let base_dir = text(&env::BASE_DIR).unwrap_or_else(|| "/tmp/sandboxer".to_owned());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/-".contains(&b);
        if !base_dir.starts_with('/') || base_dir.len() > 200 || !base_dir.bytes().all(plain) {
            let what =
                format!("SANDBOXER_BASE_DIR is `{base_dir}`, not an absolute path of letters, digits, `.`, `_`, `-`");
            return Err(UserError::new(ErrorCode::InvalidInput, what));
        }
        Ok(extension_compose_ssh::Settings {
            ssh: Arc::new(self.ssh_settings()),
            base_dir: base_dir.trim_end_matches('/').to_owned(),
            compose_command: text(&env::COMPOSE_CMD),
            clock: Arc::clone(&self.clock),
        })
    }

    /// The engine over these backends; what earlier commands left undone is finished first. It lives as long as the
    /// process: giving back in order what the kernel takes back anyway costs a command as much as a transaction.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn engine_over(
        &self,
        extensions: Registry,
        reporter: &Reporter,
    ) -> Result<&'static Engine, UserError> {
        let engine: &'static Engine = Box::leak(Box::new(self.open(extensions).await?));
        engine.announce().await?;
        let engine = *self.engine.get_or_init(|| engine);
        let from = self.elapsed();
        let recovered = engine.recover(reporter).await?;
        self.timings.note("look for what was left undone", from, self.elapsed());
        self.tell(&recovered);
        Ok(engine)
    }

    /// The same over the backends of this build, none of them warm.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn engine(&self, reporter: &Reporter) -> Result<&'static Engine, UserError> {
        self.engine_over(self.extensions(Warm::No)?, reporter).await
    }

    /// The engine over these backends, and nothing else is touched.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn open(&self, extensions: Registry) -> Result<Engine, UserError> {
        let from = self.elapsed();
        let store = Store::open(&self.data_dir, Arc::clone(&self.clock), Arc::new(SystemIds)).await?;
        self.timings.note("open the database", from, self.elapsed());
        self.over(store, extensions)
    }

    /// The same for a process that does many things at once.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn open_shared(&self, extensions: Registry) -> Result<Engine, UserError> {
        let store = Store::open_shared(&self.data_dir, Arc::clone(&self.clock), Arc::new(SystemIds)).await?;
        self.over(store, extensions)
    }

    /// The same for a look only: where there is no database, none is made.
    ///
    /// # Errors
    /// The database cannot be used.
    pub(crate) async fn open_to_look(&self, extensions: Registry) -> Result<Engine, UserError> {
        if Store::exists(&self.data_dir) {
            return self.open(extensions).await;
        }
        let store = Store::open_in_memory(Arc::clone(&self.clock), Arc::new(SystemIds)).await?;
        self.over(store, extensions)
    }

    fn over(&self, store: Store, extensions: Registry) -> Result<Engine, UserError> {
        let outbound = outbound::client()?;
        let state_hub = outbound::state_hub(&outbound)?;
        let ids = Arc::new(SystemIds);
        let ports = Ports {
            clock: Arc::clone(&self.clock),
            ids,
            owners: Arc::new(ProcessTable::new()),
            store,
            extensions,
            outbound: Some(Arc::new(outbound)),
        };
        let settings = Settings {
            state_hub,
            ..Settings::default()
        };
        Ok(Engine::new(ports, self.catalog(), settings))
    }

    /// Tells those who want to know what happened, if there are any: for a moment only, since somebody waits. What takes
    /// longer is left to a process of its own.
    pub(crate) async fn deliver(&self) {
        let Some(engine) = self.engine.get() else { return };
        let from = self.elapsed();
        match engine.deliver(DeliverLimits::brief()).await {
            Ok(delivered) if delivered.unfinished => deliver::start(self),
            Ok(_) => {}
            Err(error) => self.note(&format!(
                "{} events are kept, but cannot be delivered: {}",
                self.error_paint.warn("note:"),
                error.message
            )),
        }
        self.timings.note("tell others what happened", from, self.elapsed());
    }

    /// Tells of damaged rows that were left out, unless the error of the command does.
    pub(crate) fn tell_of_damage(&self, error: Option<&UserError>) {
        let Some(engine) = self.engine.get() else { return };
        for damage in engine.noticed_damage() {
            if error.is_none_or(|error| !error.message.contains(&damage)) {
                self.note(&format!(
                    "{} {damage}; it was left out, see `sandboxer doctor`",
                    self.error_paint.warn("warning:")
                ));
            }
        }
    }

    fn tell(&self, recovered: &Recovered) {
        let Recovered {
            finished,
            undone,
            stuck,
            expired,
            lost,
        } = recovered;
        let counts = [
            (finished.len(), "finished what an interrupted command had begun"),
            (undone.len(), "undid what an interrupted command had begun"),
            (expired.len(), "removed a sandbox whose time had passed"),
            (lost.len(), "noticed that a sandbox had ended by itself"),
        ];
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            let times = if count == 1 {
                String::new()
            } else {
                format!(" ({count} times)")
            };
            self.note(&format!("{} {what}{times}", self.error_paint.dim("note:")));
        }
        for (operation, why) in stuck {
            self.note(&format!(
                "{} {operation} is stuck: {why}",
                self.error_paint.warn("note:")
            ));
        }
    }
}

/// The clock of this machine, and what it says now.
pub(crate) fn clock() -> (Arc<dyn Clock>, Duration) {
    let clock = SystemClock;
    let now = clock.monotonic();
    (Arc::new(clock), now)
}

/// Color on standard error.
pub(crate) fn error_paint(mode: ColorMode) -> Paint {
    paint(mode, std::io::stderr().is_terminal())
}

fn is_dumb() -> bool {
    env::TERM.get().is_some_and(|term| term == "dumb")
}

fn paint(mode: ColorMode, terminal: bool) -> Paint {
    let colored = match mode {
        ColorMode::Always => true,
        ColorMode::Never => false,
        ColorMode::Auto => terminal && env::NO_COLOR.get().is_none() && !is_dumb(),
    };
    if colored { Paint::Colored } else { Paint::Plain }
}

fn data_dir(given: Option<&Path>) -> Result<PathBuf, UserError> {
    let from_env = || env::DATA_DIR.get().map(PathBuf::from);
    // The standard says that a relative value is to be ignored.
    let from_base = || {
        env::XDG_DATA_HOME
            .get()
            .map(PathBuf::from)
            .filter(|base| base.is_absolute())
    };
    let from_home = || env::HOME.get().map(|home| PathBuf::from(home).join(".local/share"));
    given
        .map(Path::to_owned)
        .or_else(from_env)
        .or_else(|| from_base().or_else(from_home).map(|base| base.join("sandboxer")))
        .ok_or_else(|| {
            UserError::new(
                ErrorCode::StoreUnavailable,
                "cannot tell where to keep records: neither HOME nor a data directory is set",
            )
            .hint("pass `--data-dir DIR` or set SANDBOXER_DATA_DIR")
        })
}
