//! What a terminal answers when nobody waits for it any more: the editor must not take it for what is typed.

use std::sync::{Mutex, PoisonError};

use rustyline::{
    Cmd, ConditionalEventHandler, Event, EventContext, KeyCode, KeyEvent, Modifiers, RepeatCount,
};

/// Signs of an answer at most.
const LONGEST: usize = 64;

/// Where in an answer the keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Outside,
    /// Behind so many signs of `ESC ] 11;rgb:1e1e/1e1e/1e1e`, a colour, which BEL or `ESC \` ends.
    Color(usize),
    /// Behind so many signs of `ESC [ ? 62;22c`, what the terminal is: the editor knows no such key, and goes on behind
    /// the `?`.
    Device(usize),
}

impl Place {
    /// The place behind a key; none if that is no part of an answer.
    fn behind(self, key: KeyEvent) -> Option<Self> {
        let KeyEvent(code, modifiers) = key;
        let sign = match code {
            KeyCode::Char(c) if modifiers == Modifiers::NONE => Some(c),
            _ => None,
        };
        let is_one_of = |signs: &str| sign.is_some_and(|c| signs.contains(c));
        match self {
            Self::Outside if key == KeyEvent::alt(']') => Some(Self::Color(0)),
            Self::Outside if code == KeyCode::UnknownEscSeq => Some(Self::Device(0)),
            Self::Color(_) if key == KeyEvent::ctrl('G') || key == KeyEvent::alt('\\') => {
                Some(Self::Outside)
            }
            Self::Color(signs) if signs < LONGEST && is_one_of("0123456789abcdefABCDEFrg:;/") => {
                Some(Self::Color(signs + 1))
            }
            Self::Device(_) if sign == Some('c') => Some(Self::Outside),
            Self::Device(signs) if signs < LONGEST && is_one_of("0123456789;") => {
                Some(Self::Device(signs + 1))
            }
            _ => None,
        }
    }
}

/// Keeps answers from the line that is edited; all other keys are what they are.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<Place>);

impl ConditionalEventHandler for Answers {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, _: &EventContext<'_>) -> Option<Cmd> {
        let key = event.get(0)?;
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = place.behind(*key);
        *place = behind.unwrap_or_default();
        behind.map(|_| Cmd::Noop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of some keys is left to the editor.
    fn left(keys: impl IntoIterator<Item = KeyEvent>) -> Vec<KeyEvent> {
        let mut place = Place::default();
        let is_left = |key: &KeyEvent| {
            let behind = place.behind(*key);
            place = behind.unwrap_or_default();
            behind.is_none()
        };
        keys.into_iter().filter(is_left).collect()
    }

    /// Keys as the editor reads them.
    fn typed(text: &str) -> Vec<KeyEvent> {
        text.chars().map(KeyEvent::from).collect()
    }

    const UNKNOWN: KeyEvent = KeyEvent(KeyCode::UnknownEscSeq, Modifiers::NONE);

    #[test]
    fn answers_are_left_out_of_what_is_typed() {
        for end in [KeyEvent::alt('\\'), KeyEvent::ctrl('G')] {
            let mut keys = typed("se");
            keys.push(KeyEvent::alt(']'));
            keys.extend(typed("11;rgb:1e1e/1E1E/ffff"));
            keys.extend([end, UNKNOWN]);
            keys.extend(typed("62;22c"));
            keys.extend(typed("lect 1;"));
            assert_eq!(left(keys), typed("select 1;"));
        }
    }

    #[test]
    fn what_is_no_answer_is_typed() {
        let all = typed("select 11, 'rgb:1e/1e', 62;");
        assert_eq!(left(all.clone()), all);
        // A key that nobody knows, and one that begins no answer here.
        for key in [UNKNOWN, KeyEvent::alt(']')] {
            let mut keys = vec![key];
            keys.extend(typed("select c"));
            assert_eq!(left(keys), typed("select c"));
        }
        let mut endless = vec![KeyEvent::alt(']')];
        endless.extend(typed(&"1".repeat(LONGEST + 36)));
        assert_eq!(left(endless).len(), 36);
    }
}
