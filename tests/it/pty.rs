//! Drives `mdb` in a pseudo-terminal, and shows its screen as a person sees it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::harness::Db;

/// How long a test waits for what should appear.
const DEADLINE: Duration = Duration::from_mins(2);

/// A terminal with a process in it.
pub(crate) struct Terminal {
    master: File,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that was written to it.
    output: Arc<Mutex<Vec<u8>>>,
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// Starts a command in a terminal of so many columns and 40 lines.
    pub(crate) fn start(command: Command, columns: u16) -> Self {
        Self::start_with(command, columns, &[])
    }

    /// The same with some variables of the environment set.
    pub(crate) fn start_with(command: Command, columns: u16, set: &[(&str, &str)]) -> Self {
        Self::start_answering(command, columns, set, None)
    }

    /// A terminal with this background (`1e1e/1e1e/1e1e`), which it tells whoever asks; without one it is mute.
    pub(crate) fn start_answering(
        mut command: Command,
        columns: u16,
        set: &[(&str, &str)],
        background: Option<&'static str>,
    ) -> Self {
        const LINES: u16 = 40;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options()
            .read(true)
            .write(true)
            // It is the child's terminal, not the test's.
            .custom_flags(OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().unwrap())
            .unwrap();
        let size = Winsize {
            ws_row: LINES,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        command
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", "1")
            .env_remove("PAGER")
            .env_remove("EDITOR")
            .env_remove("VISUAL")
            .envs(set.iter().copied())
            .stdin(Stdio::from(slave.try_clone().unwrap()))
            .stdout(Stdio::from(slave.try_clone().unwrap()))
            .stderr(Stdio::from(slave))
            .process_group(0);
        let child = command.spawn().unwrap();
        drop(command);
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(LINES, columns, 0)));
        let mut output = master.try_clone().unwrap();
        let mut answers = master.try_clone().unwrap();
        let painted = Arc::clone(&screen);
        let all = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&all);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 4096];
            // The last process that had the other end open is gone: an error, on Linux.
            while let Ok(n @ 1..) = output.read(&mut chunk) {
                painted.lock().unwrap().process(&chunk[..n]);
                kept.lock().unwrap().extend_from_slice(&chunk[..n]);
                let asks = memchr::memmem::find(&chunk[..n], b"\x1b]11;?").is_some();
                if let (Some(background), true) = (background, asks) {
                    let answer = format!("\x1b]11;rgb:{background}\x1b\\\x1b[?62c");
                    answers.write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        Self {
            master,
            screen,
            output: all,
            child,
            reader: Some(reader),
        }
    }

    /// The shell on a database, at its first prompt, the banner cleared away.
    pub(crate) fn shell(db: &Db, columns: u16) -> Self {
        let mut terminal = Self::start(db.command(), columns);
        terminal.awaits("mdb db>");
        terminal.clear();
        terminal
    }

    /// Clears the screen at an empty prompt.
    pub(crate) fn clear(&mut self) {
        self.keys("\x0c");
        self.awaits_screen("only a prompt", |text| {
            text.starts_with("mdb db") && text.ends_with('>') && !text.contains('\n')
        });
    }

    /// Types keys as they are.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Types a line, and waits until the prompt is back below it.
    pub(crate) fn line(&mut self, line: &str) {
        let before = self.text();
        self.keys(line);
        self.keys("\r");
        self.awaits_screen("the next prompt", |text| {
            let last = text.lines().last().unwrap_or_default();
            text != before && last.starts_with("mdb db") && last.ends_with('>')
        });
    }

    /// Types a text and a Tab, until the screen shows what that is to become: on a busy machine the answer may come
    /// too late for the first Tab.
    #[track_caller]
    pub(crate) fn completes(&mut self, typed: &str, whole: &str) {
        const AGAIN: Duration = Duration::from_secs(3);
        let start = Instant::now();
        self.keys(typed);
        while !self.text().contains(whole) {
            assert!(
                start.elapsed() < DEADLINE,
                "{typed} did not become {whole}\n{}",
                self.text()
            );
            self.keys("\t");
            let tab = Instant::now();
            while tab.elapsed() < AGAIN && !self.text().contains(whole) {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// What the screen shows, without the space at the ends of lines.
    pub(crate) fn text(&self) -> String {
        let text = self.screen.lock().unwrap().screen().contents();
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// Waits until this was written, escape codes and all.
    #[track_caller]
    pub(crate) fn awaits_written(&self, part: &[u8]) {
        let written = || memchr::memmem::find(&self.output.lock().unwrap(), part).is_some();
        let start = Instant::now();
        while !written() {
            assert!(
                start.elapsed() < DEADLINE,
                "{} was not written\n{}",
                part.escape_ascii(),
                self.text()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The column of the cursor.
    pub(crate) fn cursor(&self) -> u16 {
        self.screen.lock().unwrap().screen().cursor_position().1
    }

    pub(crate) fn awaits(&self, part: &str) {
        self.awaits_screen(part, |text| text.contains(part));
    }

    #[track_caller]
    pub(crate) fn awaits_screen(&self, what: &str, is: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !is(&self.text()) {
            assert!(
                start.elapsed() < DEADLINE,
                "waited in vain for {what}\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Another size, as when a window is dragged.
    pub(crate) fn resize(&mut self, columns: u16, lines: u16) {
        let size = Winsize {
            ws_row: lines,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        self.screen
            .lock()
            .unwrap()
            .screen_mut()
            .set_size(lines, columns);
        tcsetwinsize(&self.master, size).unwrap();
        // As for a process of a session that this terminal controls.
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::WINCH).unwrap();
    }

    /// Sends what Ctrl-C sends while a program leaves it to the terminal.
    pub(crate) fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    }

    /// Leaves by Ctrl-D.
    pub(crate) fn leave(mut self) {
        self.keys("\x04");
        self.leave_when_done();
    }

    /// Waits until the process has ended well.
    pub(crate) fn leave_when_done(mut self) {
        let start = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(
                start.elapsed() < DEADLINE,
                "it did not leave\n{}",
                self.text()
            );
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(code, Some(0), "{}", self.text());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
