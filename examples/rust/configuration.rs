//! Settings: for everything, for one service, for one call, and while the program runs.
//! `cargo run -p plumline-examples --bin configuration` (needs no registry)

use std::time::Duration;

use plumline::{Answer, Client, Config, Endpoint, Failure, Headers, Outgoing, Request};
use serde_json::json;

fn main() -> plumline::Result<()> {
    // Beneath these lie the environment (PLUMLINE_TIMEOUT=5s) and the file that PLUMLINE_CONFIG names.
    let config = Config::layered(json!({
        "registry": "static://10.0.0.7:8080,10.0.0.8:8080",
        "timeout": "5s",
        "headers": {"X-Team": "fruit"},
        "services": {"orders": {"timeout": "800ms", "balancer": "round_robin", "retry": {"attempts": 2}}}
    }))?;

    // No server stands behind these addresses: a stub answers in its place.
    let plum = Client::builder().config(config).transport(answer).build()?;
    println!("{}", plum.get("orders", "/team")?.text());

    let patient = Request::get("orders", "/team").timeout(Duration::from_secs(30)).attempts(5);
    println!("{}", plum.call(&patient)?.status());

    plum.configure(json!({"headers": {"X-Team": "vegetables"}}))?;
    println!("{}", plum.get("orders", "/team")?.text());
    print!("{}", plum.explain("orders")?);

    // A key that is misspelt is refused, with the one that was probably meant.
    if let Err(error) = Config::from_value(json!({"retry": {"attemps": 2}})) {
        println!("{error}");
    }
    Ok(())
}

fn answer(request: &Outgoing, _: &Endpoint) -> Result<Answer, Failure> {
    let team = request.headers.iter().find(|(name, _)| name == "X-Team");
    let (_, team) = team.ok_or_else(|| Failure::BadAnswer("nobody said which team".into()))?;
    Ok(Answer::new(200, Headers::default(), team.as_str()))
}
