//! Staying known.

use std::time::Duration;

use plumline::registration::RegistrationState;
use plumline::sync::Mutex;
use plumline::{Error, Instance, Result};

use super::boundary::{Kind, boundary, free, look};
use super::error::ErrorHandle;
use super::input::{Growing, amount, count, grown, need, optional_text, slice, text};
use super::request::{labels, millis, optional_millis, tristate};
use super::text::{Field, Str};
use crate::shelf::Shelf;

/// Its port does not answer yet; it is published once it does.
pub const PLUMLINE_REGISTRATION_WAITING_FOR_PORT: i32 = 1;
/// On its way to the registry for the first time.
pub const PLUMLINE_REGISTRATION_REGISTERING: i32 = 2;
/// Known to at least one registry.
pub const PLUMLINE_REGISTRATION_REGISTERED: i32 = 3;
/// No registry answers; it is registered as soon as one does.
pub const PLUMLINE_REGISTRATION_UNREACHABLE: i32 = 4;
/// The registry said no; tried again with every beat.
pub const PLUMLINE_REGISTRATION_REFUSED: i32 = 5;
/// Closed.
pub const PLUMLINE_REGISTRATION_CLOSED: i32 = 6;

/// What a program registers: itself. Initialise it with `PLUMLINE_INSTANCE_INIT`. In an update, what is not set stays
/// as it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct RawInstance {
    /// `sizeof(plumline_instance)`; the initialiser sets it.
    pub size: u32,
    /// The port others reach it at. Required.
    pub port: u16,
    /// 0.
    pub reserved: u16,
    /// The service it offers. Required; in an update not given.
    pub service: Str,
    /// Where others reach it; not given: this machine's address towards the registry.
    pub host: Str,
    /// Not given: `http`.
    pub protocol: Str,
    /// Its version; not given: none.
    pub version: Str,
    /// The zone it runs in; not given: the client's.
    pub zone: Str,
    /// Its id; not given: `{service}-{host}-{port}`.
    pub instance_id: Str,
    /// Its labels, `label_count` of them; in an update NULL leaves them as they are.
    pub labels: *const Field,
    /// How many labels.
    pub label_count: usize,
    /// Its tags, `tag_count` of them; in an update NULL leaves them as they are.
    pub tags: *const Str,
    /// How many tags.
    pub tag_count: usize,
    /// How long the registry keeps it without hearing from it, milliseconds; 0: as the settings say.
    pub ttl_ms: u64,
    /// Its share of the traffic; 0: the default, 1; `PLUMLINE_ZERO`: none.
    pub weight: u32,
    /// Whether it wants to be called: `PLUMLINE_YES`, `PLUMLINE_NO`, or `PLUMLINE_DEFAULT`: yes.
    pub healthy: i32,
}

// SAFETY: repr(C), begins with its size, holds integers, pointers and strings.
unsafe impl Growing for RawInstance {
    const NAME: &'static str = "instance";
    const INIT: &'static str = "PLUMLINE_INSTANCE_INIT";
}

impl RawInstance {
    /// Laid over one that is there.
    pub(crate) fn over(&self, mut base: Instance) -> Result<Instance> {
        for (name, given, field) in [
            ("service", &self.service, &mut base.service),
            ("host", &self.host, &mut base.host),
            ("protocol", &self.protocol, &mut base.protocol),
            ("version", &self.version, &mut base.version),
            ("zone", &self.zone, &mut base.zone),
            ("instance_id", &self.instance_id, &mut base.instance_id),
        ] {
            if let Some(given) = optional_text(name, given)? {
                given.clone_into(field);
            }
        }
        if !self.labels.is_null() || self.label_count > 0 {
            base.labels = labels(&self.labels, self.label_count)?;
        }
        if !self.tags.is_null() || self.tag_count > 0 {
            let tags = slice("tags", &self.tags, self.tag_count)?;
            base.tags =
                tags.iter().map(|tag| text("a tag", tag).map(str::to_owned)).collect::<Result<_>>()?;
        }
        if self.port > 0 {
            base.port = self.port;
        }
        base.ttl = amount(self.ttl_ms).map(millis).or(base.ttl);
        base.weight = count(self.weight).unwrap_or(base.weight);
        base.healthy = tristate("healthy", self.healthy)?.unwrap_or(base.healthy);
        Ok(base)
    }
}

/// Keeps an instance known. The client owns it: freeing the handle deregisters nothing; closing it does, closing the
/// client, and an orderly exit of the process that registered it. Any thread may use it. Yours to free with
/// `plumline_registration_free()`.
pub struct Registration {
    inner: plumline::Registration,
    /// Waited for at a close that does not say how long.
    drain: Duration,
    /// What was lent out: an update may change it, and what was lent stays.
    lent: Mutex<Vec<Shelf>>,
}

impl Registration {
    pub(crate) fn new(inner: plumline::Registration, drain: Duration) -> Registration {
        Registration { inner: inner.detach(), drain, lent: Mutex::default() }
    }

    /// Lends a text until the handle is freed.
    fn lend(&self, text: &str) -> Str {
        let mut lent = self.lent.lock();
        let is_it = |shelf: &&Shelf| {
            shelf
                .get(0)
                .is_some_and(|known| known.split_last().is_some_and(|(_, known)| known == text.as_bytes()))
        };
        if let Some(known) = lent.iter().find(is_it) {
            return Str::lent_if(known.get(0));
        }
        let shelf = Shelf::of([text]);
        // The bytes are on the heap: they stay where they are when the list of shelves grows.
        let view = Str::lent_if(shelf.get(0));
        lent.push(shelf);
        view
    }
}

/// Where it stands: `PLUMLINE_REGISTRATION_…`. `PLUMLINE_REGISTRATION_CLOSED` for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_state(registration: Option<&Registration>) -> i32 {
    look(registration, PLUMLINE_REGISTRATION_CLOSED, |registration| match registration.inner.state() {
        RegistrationState::WaitingForPort => PLUMLINE_REGISTRATION_WAITING_FOR_PORT,
        RegistrationState::Registering => PLUMLINE_REGISTRATION_REGISTERING,
        RegistrationState::Registered => PLUMLINE_REGISTRATION_REGISTERED,
        RegistrationState::Unreachable => PLUMLINE_REGISTRATION_UNREACHABLE,
        RegistrationState::Refused => PLUMLINE_REGISTRATION_REFUSED,
        _ => PLUMLINE_REGISTRATION_CLOSED,
    })
}

/// Where it stands, in a word: `waiting_for_port`, `registering`, `registered`, `unreachable`, `refused` or `closed`.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_state_name(registration: Option<&Registration>) -> Str {
    let closed = Str::lent(c"closed".to_bytes_with_nul());
    look(registration, closed, |registration| {
        let name = match registration.inner.state() {
            RegistrationState::WaitingForPort => c"waiting_for_port",
            RegistrationState::Registering => c"registering",
            RegistrationState::Registered => c"registered",
            RegistrationState::Unreachable => c"unreachable",
            RegistrationState::Refused => c"refused",
            _ => c"closed",
        };
        Str::lent(name.to_bytes_with_nul())
    })
}

/// `host:port` as others see it. Valid until the handle is freed, as are the two below.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_address(registration: Option<&Registration>) -> Str {
    look(registration, Str::NONE, |registration| registration.lend(&registration.inner.address()))
}

/// The service it offers.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_service(registration: Option<&Registration>) -> Str {
    look(registration, Str::NONE, |registration| registration.lend(&registration.inner.instance().service))
}

/// Its id.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_instance_id(registration: Option<&Registration>) -> Str {
    look(registration, Str::NONE, |registration| {
        registration.lend(&registration.inner.instance().instance_id)
    })
}

/// What last went wrong, yours to free; NULL once it is registered again.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_last_error(
    registration: Option<&Registration>,
) -> Option<Box<ErrorHandle>> {
    look(registration, None, |registration| {
        registration.inner.last_error().map(|error| Box::new(error.into()))
    })
}

/// Waits until it is registered; fails with what last went wrong if that does not come about within `timeout_ms`
/// milliseconds. Below 0: 10 s.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_wait(
    registration: Option<&Registration>,
    timeout_ms: i64,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let timeout = optional_millis(timeout_ms).unwrap_or(Duration::from_secs(10));
        need("registration", registration)?.inner.wait(timeout)
    })
}

/// Changes what is registered, now and after every outage to come. What `instance` does not set stays.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_update(
    registration: Option<&Registration>,
    instance: *const RawInstance,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let (registration, instance) = (need("registration", registration)?, grown(instance)?);
        if instance.service.is_given() {
            return Err(Error::invalid("service cannot be changed; register another one"));
        }
        registration.inner.update(instance.over(registration.inner.instance())?)
    })
}

/// Deregisters, within 2 s, then waits `drain_ms` milliseconds for calls that are still on their way. Below 0: as the
/// settings say. Again: does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_close(
    registration: Option<&Registration>,
    drain_ms: i64,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let registration = need("registration", registration)?;
        registration.inner.close(optional_millis(drain_ms).unwrap_or(registration.drain))
    })
}

/// Frees the handle; the instance stays registered unless it was closed. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_registration_free(registration: Option<Box<Registration>>) {
    free(registration);
}
