//! In which colours the shell shows what is typed: told by the user, or by the terminal's background.

use std::io::{self, IsTerminal};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use terminal_colorsaurus::{QueryOptions, background_color};

use super::terminal;

/// How long a terminal may take to tell its background. One that answers nothing at all holds the first prompt up for
/// so long, less what opening the database takes; nearly all others answer at once, if only that they do not know.
const PATIENCE: Duration = Duration::from_millis(40);

/// What the user wants, where it is not said by `.color`.
const VARIABLE: &str = "MDB_COLOR";

/// What the background is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Dark,
    Light,
}

/// What the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Choice {
    /// Colours where the terminal and the environment want them, by the background found.
    #[default]
    Auto,
    /// Colours in any case.
    On,
    Off,
    Of(Theme),
}

impl Choice {
    /// Reads a word.
    ///
    /// # Errors
    /// What it may be.
    pub(super) fn parse(word: &str) -> Result<Self, String> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "auto" => Self::Auto,
            "on" => Self::On,
            "off" => Self::Off,
            "dark" => Self::Of(Theme::Dark),
            "light" => Self::Of(Theme::Light),
            _ => return Err(format!("takes on, off, dark, light or auto, not {word}")),
        })
    }

    /// What the environment says.
    ///
    /// # Errors
    /// If it says something else.
    pub(super) fn of_environment() -> Result<Self, String> {
        match std::env::var(VARIABLE) {
            Ok(word) if !word.is_empty() => {
                Self::parse(&word).map_err(|wrong| format!("{VARIABLE} {wrong}"))
            }
            _ => Ok(Self::Auto),
        }
    }
}

/// What is wanted, and what was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    pub(super) choice: Choice,
    pub(super) found: Option<Theme>,
}

impl Look {
    /// The colours to use; `None` for none.
    pub(super) fn theme(self) -> Option<Theme> {
        // Most terminals are dark.
        let found = self.found.unwrap_or(Theme::Dark);
        match self.choice {
            Choice::Auto => terminal::color().then_some(found),
            Choice::On => Some(found),
            Choice::Off => None,
            Choice::Of(theme) => Some(theme),
        }
    }

    /// What `.color` tells.
    pub(super) fn told(self) -> &'static str {
        let found = self.found.is_some();
        match (self.theme(), self.choice) {
            (None, _) => "off",
            (Some(Theme::Dark), Choice::Of(_)) => "dark",
            (Some(Theme::Light), Choice::Of(_)) => "light",
            (Some(Theme::Dark), _) if found => "dark, as the terminal says",
            (Some(Theme::Light), _) => "light, as the terminal says",
            (Some(Theme::Dark), _) => "dark; the terminal has not told its background",
        }
    }
}

/// The terminal is asked, on a thread of its own, so that a database can be opened meanwhile.
pub struct Detection(Option<Receiver<Option<Theme>>>);

impl Detection {
    /// Begins to ask the terminal, if there is one and colours are wanted.
    #[must_use]
    pub fn start() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let wanted = matches!(Choice::of_environment(), Ok(Choice::Auto | Choice::On));
        if !terminal || !terminal::color() || !wanted {
            return Self(None);
        }
        let (tell, told) = sync_channel(1);
        if let Some(theme) = of_variable(std::env::var("COLORFGBG").ok().as_deref()) {
            let _ = tell.send(Some(theme));
            return Self(Some(told));
        }
        // From afar the answer would come when nobody waits for it any more.
        if set("SSH_CONNECTION") || set("SSH_TTY") {
            return Self(None);
        }
        let asked = thread::Builder::new().name("background".to_owned());
        let asked = asked.spawn(move || {
            let mut options = QueryOptions::default();
            options.timeout = PATIENCE;
            let theme = background_color(options).ok().map(|color| {
                if color.perceived_lightness() > 0.5 {
                    Theme::Light
                } else {
                    Theme::Dark
                }
            });
            let _ = tell.send(theme);
        });
        Self(asked.is_ok().then_some(told))
    }

    /// Whether the terminal may answer yet, after [`PATIENCE`] has ended.
    pub(super) fn is_asked(&self) -> bool {
        self.0.is_some()
    }

    /// What the terminal says; waits no longer than it may take.
    pub(super) fn theme(&self) -> Option<Theme> {
        self.0.as_ref()?.recv().ok().flatten()
    }
}

/// `15;0`: colours of the foreground and the background, as some terminals set it.
fn of_variable(value: Option<&str>) -> Option<Theme> {
    let background: u8 = value?.rsplit(';').next()?.parse().ok()?;
    Some(match background {
        7 | 9..=15 => Theme::Light,
        _ => Theme::Dark,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_is_read_from_the_environment() {
        assert_eq!(of_variable(Some("15;0")), Some(Theme::Dark));
        assert_eq!(of_variable(Some("0;default;15")), Some(Theme::Light));
        assert_eq!(of_variable(Some("0;default")), None);
        assert_eq!(of_variable(None), None);
    }

    #[test]
    fn what_the_user_says_counts() {
        let look = |word: &str| Look {
            choice: Choice::parse(word).unwrap(),
            found: Some(Theme::Light),
        };
        assert_eq!(look("off").theme(), None);
        assert_eq!(look("on").theme(), Some(Theme::Light));
        assert_eq!(look("DARK").theme(), Some(Theme::Dark));
        assert_eq!(look("dark").told(), "dark");
        assert!(
            Choice::parse("maybe")
                .unwrap_err()
                .contains("light or auto")
        );
    }
}
