//! `test-call <registry>` calls the service `s` once and prints the status, or the error.

fn main() {
    let registry = std::env::args().nth(1).expect("a registry");
    match plumline::Client::new(&registry).and_then(|plum| plum.get("s", "/")) {
        Ok(response) => println!("{}", response.status()),
        Err(error) => println!("{error}"),
    }
}
