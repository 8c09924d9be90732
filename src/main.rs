//! The `mdb` command.

fn main() -> std::process::ExitCode {
    mdb::cli::main()
}
