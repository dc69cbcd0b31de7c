//! `cargo xtask up`: the first command. Servers and build side by side, then migrations, services, the demo.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{anyhow, bail};
use lp_stack::fleet::{CLIENT_SECRET, FLEET, Fleet, Plan};
use lp_stack::{Addresses, Durability, Stack, StackName, command, interrupt};

use crate::build;
use crate::terminal::{Terminal, note, say, seconds};
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, exit: bool) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let terminal = Terminal::new();
    let folder = StackName::Up.folder(&workspace.target);
    // Before anything is built: the first thing a person should hear is what cannot work.
    Stack::end_leftovers(&workspace.target, StackName::Up)?;
    Fleet::require_ports(&folder)?;

    note("Local-Plus starts (the first time it fetches the servers and builds everything):");
    let abandoned = AtomicBool::new(false);
    let (stack, built) = std::thread::scope(|scope| {
        let stack = scope.spawn(|| {
            Stack::start(&workspace.target, StackName::Up, Durability::Full, &terminal)
                .inspect_err(|_| abandoned.store(true, Ordering::Relaxed))
        });
        let args = ["build", "--workspace", "--exclude", "xtask", "--bins"];
        let built = build::run(workspace, &args, &folder, &abandoned, &terminal);
        (
            stack
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the thread that starts the servers panicked"))),
            built,
        )
    });
    let mut stack = stack?;
    built?;
    let addresses = stack.addresses().clone();
    let binaries = workspace.target.join("debug");
    let plan = Plan::default();
    let mut fleet = Fleet::start(&plan, &binaries, stack.folder(), &addresses, &terminal)?;
    note(&format!(
        "Everything runs after {}. The demo:\n",
        seconds(begun.elapsed())
    ));

    let demo = Instant::now();
    let status = command::finish(
        Command::new(workspace.binary("demo"))
            .envs(plan.outside_env())
            .env("MAIL_API_URL", &addresses.mail_api_url)
            .stdin(std::process::Stdio::null()),
        None,
    );
    let passed = match status {
        Ok(status) => status.success(),
        Err(error) if error.is::<interrupt::Interrupted>() => return Err(error),
        Err(error) => {
            note(&format!("error: the demo could not run: {error}"));
            false
        }
    };
    // A service that died explains a failed demo better than the demo can.
    if let Some(error) = fleet.dead_service().or_else(|| stack.dead_server()) {
        return Err(error);
    }
    if passed {
        say(&format!(
            "\nThe demo was seen to work in {}.",
            seconds(demo.elapsed())
        ));
    } else {
        note(&format!(
            "\nThe demo failed; the services' logs are in {}.",
            Fleet::folder(stack.folder()).display()
        ));
    }
    if exit {
        return Ok(if passed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }

    say(&summary(&addresses));
    loop {
        if interrupt::requested() {
            note("\nStops …");
            drop(fleet);
            drop(stack);
            note("Stopped. The data is kept for the next `up`; `cargo xtask down --wipe` forgets it.");
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(error) = fleet.dead_service().or_else(|| stack.dead_server()) {
            bail!("{error}\neverything else was stopped");
        }
        std::thread::sleep(interrupt::TICK);
    }
}

fn summary(addresses: &Addresses) -> String {
    use std::fmt::Write as _;
    let mut text = String::from("\nLocal-Plus is up:\n");
    for service in FLEET.iter() {
        let (grpc, http) = (service.grpc_port, service.http_url());
        let _ = writeln!(
            text,
            "  {:<17} gRPC 127.0.0.1:{grpc}   REST {http}   page {http}/docs",
            service.binary()
        );
    }
    let _ = writeln!(
        text,
        "  {:<17} {}/token   clients till, operator; secret {CLIENT_SECRET}",
        "tokens",
        Plan::default().issuer_url()
    );
    let _ = writeln!(text, "  {:<17} {}", "e-mails", addresses.mail_api_url);
    let _ = writeln!(text, "  {:<17} {}", "PostgreSQL", addresses.postgres_admin_url);
    let _ = writeln!(text, "  {:<17} {}", "Kafka", addresses.kafka_brokers);
    let _ = writeln!(text, "  {:<17} {}", "Valkey", addresses.valkey_url);
    text.push_str("\nCtrl-C stops everything.");
    text
}
