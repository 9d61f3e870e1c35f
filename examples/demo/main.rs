//! `make demo`: the main job on real processes and real sockets.
//!
//! A controller, three instances of a service (one in Rust, two in Python, each registered through the SDK) and a
//! client at a steady 1,000 calls a second with the defaults. One instance is killed at 3 s and started again at 7 s;
//! the controller itself, whose store is its memory, is stopped at 9 s and started empty at 10 s.
//! Exit code 1 when any call failed, or an instance was not out, back or registered again in time.

mod load;
mod page;
mod processes;
mod report;

use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use plumline::Client;

use load::Load;
use processes::{Controller, Orders, free_port};
use report::{Event, Report};

/// How long the load lasts.
const LASTS: Duration = Duration::from_secs(12);
const CALLS_PER_SECOND: u32 = 1_000;

fn main() -> ExitCode {
    match run() {
        Ok(report) if report.keeps_its_promises() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Report, Box<dyn std::error::Error>> {
    let mut controller = Controller::start(free_port()?)?;
    let registry = controller.address();
    println!("controller at {registry}; starting three instances of \"orders\"");
    let mut instances = [
        Orders::rust(&registry, free_port()?)?,
        Orders::python(&registry, free_port()?)?,
        Orders::python(&registry, free_port()?)?,
    ];

    let plum = Client::new(&registry)?;
    await_instances(&plum, &mut instances)?;
    let ports = instances.each_ref().map(|instance| instance.port);
    let names = instances.each_ref().map(processes::Orders::name);
    let load = Load::start(&plum, CALLS_PER_SECOND, LASTS)?;

    let at = |seconds: u64| load.began + Duration::from_secs(seconds);
    let mut events = Vec::new();
    let mut happened = |what: &str| {
        events.push(Event { at: load.began.elapsed(), what: what.to_owned() });
        load.say(&format!("{:>5.1} s  {what}", load.began.elapsed().as_secs_f64()));
    };

    load.show_until(at(3), &names, &ports);
    instances[1].kill()?;
    let killed = load.began.elapsed();
    happened(&format!("kill -9 {}", names[1]));

    load.show_until(at(7), &names, &ports);
    instances[1] = Orders::python(&registry, ports[1])?;
    await_listening(ports[1])?;
    let listening = load.began.elapsed();
    happened(&format!("{} listens again", names[1]));

    load.show_until(at(9), &names, &ports);
    controller.stop()?;
    happened("controller stopped");

    load.show_until(at(10), &names, &ports);
    controller.start_again()?;
    happened("controller started, empty");

    load.show_until(load.began + LASTS, &names, &ports);
    let calls = load.finish();
    let known = plum.discover("orders")?.len();
    let report = Report { calls, events, names, ports, victim: 1, killed, listening, known };
    page::write("demo.html", &report)?;
    report.print();
    Ok(report)
}

/// Waits until every instance is registered; an instance that ends instead is an error, not a long wait.
fn await_instances(plum: &Client, instances: &mut [Orders]) -> Result<(), Box<dyn std::error::Error>> {
    let watch = plum.watch("orders")?;
    let mut known = 0;
    while known < instances.len() {
        if let Some(change) = watch.next_within(Duration::from_millis(100))? {
            known = change.endpoints.len();
        }
        instances.iter_mut().try_for_each(Orders::check)?;
    }
    Ok(())
}

fn await_listening(port: u16) -> Result<(), String> {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed() > Duration::from_secs(10) {
            return Err(format!("nothing listens at port {port} after 10 s"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
