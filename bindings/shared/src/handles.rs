//! Service handles by name: what a call by name is made with.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use plumline::{Client, Result, ServiceHandle};

/// So many names keep their handle; a program that makes names up must not fill the memory with them.
const MOST: usize = 1_000;

/// The handles of one client. Read without a lock, and never locked, so that no fork finds it so.
#[derive(Default)]
pub struct Handles(ArcSwap<HashMap<String, Arc<ServiceHandle>>>);

impl Handles {
    /// The handle of a service, made on first use.
    #[inline]
    pub fn get(&self, client: &Client, service: &str) -> Result<Arc<ServiceHandle>> {
        match self.0.load().get(service) {
            Some(known) => Ok(known.clone()),
            None => self.make(client, service),
        }
    }

    #[cold]
    fn make(&self, client: &Client, service: &str) -> Result<Arc<ServiceHandle>> {
        let made = Arc::new(client.service(service)?);
        self.0.rcu(|known| {
            let mut handles = if known.len() < MOST { HashMap::clone(known) } else { HashMap::new() };
            handles.insert(service.to_owned(), made.clone());
            handles
        });
        Ok(made)
    }

    /// Lets go of all of them: the client was closed.
    pub fn clear(&self) {
        self.0.store(Arc::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_do_not_grow_memory() {
        let client = Client::new("static://127.0.0.1:1").unwrap();
        let handles = Handles::default();
        (0..MOST + 5).for_each(|n| drop(handles.get(&client, &format!("s{n}")).unwrap()));
        assert_eq!(handles.0.load().len(), 5);
        assert!(handles.get(&client, "").unwrap_err().to_string().contains("empty"));
    }
}
