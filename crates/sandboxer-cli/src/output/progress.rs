//! Progress for people, on standard error: one live line on a terminal, plain lines elsewhere once it takes long.

use std::io::Write as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sandboxer_engine::api::Progress;
use sandboxer_extension::port::Clock;
use sandboxer_model::id::SandboxId;

use super::color::Paint;
use super::human;
use super::timings::Timings;

/// A step is worth a live line after this long.
const LIVE_AFTER: Duration = Duration::from_millis(100);
/// Without a terminal, lines are worth printing when all of it takes this long.
const PLAIN_AFTER: Duration = Duration::from_secs(1);
/// How often the live line is drawn.
const FRAME: Duration = Duration::from_millis(80);
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const CLEAR_LINE: &str = "\r\u{1b}[2K";

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One line that is drawn again and again.
    Live(Paint),
    /// A line per step, once it takes long.
    Plain,
    /// Nowhere.
    Silent,
}

#[derive(Default)]
struct Now {
    step: Option<(String, Duration)>,
    drawn: bool,
    drawing: bool,
    closed: bool,
    held_back: Vec<String>,
}

#[derive(Default)]
struct Shared {
    now: Mutex<Now>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells people what goes on, and keeps the times.
pub(crate) struct Reporter {
    style: Style,
    clock: Arc<dyn Clock>,
    started: Duration,
    timings: Arc<Timings>,
    shared: Arc<Shared>,
}

impl Reporter {
    /// A reporter for one command that started at `started` on this clock.
    pub(crate) fn new(style: Style, clock: Arc<dyn Clock>, started: Duration, timings: Arc<Timings>) -> Reporter {
        Reporter {
            style,
            clock,
            started,
            timings,
            shared: Arc::default(),
        }
    }

    /// Takes the live line away until the next step: the terminal belongs to a command now.
    pub(crate) fn hush(&self) {
        let mut now = self.shared.lock();
        now.step = None;
        erase(&mut now);
    }

    /// Takes the live line away, for good.
    pub(crate) fn close(&self) {
        let mut now = self.shared.lock();
        now.closed = true;
        erase(&mut now);
        self.shared.changed.notify_all();
    }

    fn draw_in_background(&self, paint: Paint) {
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.clock));
        // Without the thread there is no live line, and nothing else is lost.
        let _ = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || draw(&shared, &*clock, paint));
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.close();
    }
}

impl Progress for Reporter {
    fn step_started(&self, _: &SandboxId, step: &str) {
        let Style::Live(paint) = self.style else { return };
        let mut now = self.shared.lock();
        now.step = Some((step.to_owned(), self.clock.monotonic()));
        if !now.drawing {
            now.drawing = true;
            self.draw_in_background(paint);
        }
        self.shared.changed.notify_all();
    }

    fn step_finished(&self, _: &SandboxId, step: &str, took: Duration, error: Option<&str>) {
        let to = self.clock.monotonic().saturating_sub(self.started);
        self.timings.note(step, to.saturating_sub(took), to);
        let outcome = error.map_or_else(String::new, |error| format!(": {error}"));
        match self.style {
            Style::Silent => {}
            Style::Plain => {
                let mut now = self.shared.lock();
                now.held_back.push(format!("{step} {}{outcome}\n", human::took(took)));
                if to >= PLAIN_AFTER {
                    let text = now.held_back.drain(..).collect::<String>();
                    let _ = std::io::stderr().lock().write_all(text.as_bytes());
                }
            }
            Style::Live(paint) => {
                let mut now = self.shared.lock();
                now.step = None;
                let worth_a_line = now.drawn || error.is_some();
                erase(&mut now);
                if worth_a_line {
                    let mark = if error.is_none() {
                        paint.good("✓")
                    } else {
                        paint.bad("✗")
                    };
                    let line = format!("{mark} {step} {}{outcome}\n", paint.dim(&human::took(took)));
                    let _ = std::io::stderr().lock().write_all(line.as_bytes());
                }
            }
        }
    }
}

fn erase(now: &mut Now) {
    if now.drawn {
        now.drawn = false;
        let _ = std::io::stderr().lock().write_all(CLEAR_LINE.as_bytes());
    }
}

fn draw(shared: &Shared, clock: &dyn Clock, paint: Paint) {
    let mut frame = 0;
    let mut now = shared.lock();
    while !now.closed {
        let elapsed = now
            .step
            .as_ref()
            .map(|(_, since)| clock.monotonic().saturating_sub(*since));
        let wait = match elapsed {
            None => None,
            Some(elapsed) if elapsed < LIVE_AFTER => Some(LIVE_AFTER - elapsed),
            Some(elapsed) => {
                let step = now.step.as_ref().map_or("", |(step, _)| step.as_str());
                let spinner = paint.hint(FRAMES[frame % FRAMES.len()]);
                let line = format!("{CLEAR_LINE}{spinner} {step} {}", paint.dim(&human::took(elapsed)));
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
                now.drawn = true;
                frame += 1;
                Some(FRAME)
            }
        };
        now = match wait {
            Some(wait) => {
                shared
                    .changed
                    .wait_timeout(now, wait)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
            None => shared.changed.wait(now).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
