//! Staying known. The client owns registrations: an object that Java collects changes nothing.

use std::time::Duration;

use jni::objects::{JByteArray, JObject};
use jni::sys::jlong;
use jni::{EnvUnowned, jni_mangle};
use plumline::{Error, Instance, Kind, Result};
use plumline_bindings::instance::changed;

use crate::boundary::{ThreadInterrupt, boundary, closing};
use crate::ffi::Handle;
use crate::frame::Writer;
use crate::settings::json;

/// What Java's `NativeRegistration` stands for.
pub(crate) struct Registration {
    pub(crate) inner: plumline::Registration,
    pub(crate) drain: Duration,
}

/// An instance that Java wrote as JSON, laid over another.
pub(crate) fn instance(base: Instance, frame: &[u8]) -> Result<Instance> {
    let text = std::str::from_utf8(frame).map_err(|_| Error::invalid("an instance that is no UTF-8"))?;
    match json(text)? {
        serde_json::Value::Object(fields) => changed(base, fields),
        _ => Err(Error::new(Kind::Internal, "an instance that is no object")),
    }
}

/// State, address, what last went wrong, and the instance as JSON.
#[jni_mangle("io.plumline.NativeRegistration")]
pub fn look<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    registration: Handle<Registration>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let inner = &registration.get().inner;
        let internal = |error: serde_json::Error| Error::new(Kind::Internal, error.to_string());
        let state = serde_json::to_value(inner.state()).map_err(internal)?;
        let mut out = Writer::default();
        out.text(state.as_str().unwrap_or_default()).text(&inner.address());
        out.some(inner.last_error(), |out, error| {
            out.error(&error, false);
        });
        out.text(&serde_json::to_string(&inner.instance()).map_err(internal)?);
        java.array(&[&out.0])
    })
}

#[jni_mangle("io.plumline.NativeRegistration")]
pub fn wait_for<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    registration: Handle<Registration>,
    timeout: jlong,
) {
    boundary(&env, &this, |_| {
        let timeout = Duration::from_nanos(timeout.unsigned_abs());
        registration.get().inner.with_interrupt(&ThreadInterrupt).wait(timeout)
    });
}

#[jni_mangle("io.plumline.NativeRegistration")]
pub fn update<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    registration: Handle<Registration>,
    fields: JByteArray<'local>,
) {
    boundary(&env, &this, |java| {
        let inner = &registration.get().inner;
        inner.update(instance(inner.instance(), &java.bytes(&fields)?)?)
    });
}

/// Deregisters, then waits for the drain in nanoseconds; negative: the configured one.
#[jni_mangle("io.plumline.NativeRegistration")]
pub fn close<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    registration: Handle<Registration>,
    drain: jlong,
) {
    boundary(&env, &this, |_| {
        let Registration { inner, drain: configured } = registration.get();
        let drain = u64::try_from(drain).map_or(*configured, Duration::from_nanos);
        let mut closed = Ok(());
        closing(Some(drain), |drain, interrupt| {
            closed = inner.with_interrupt(interrupt).close(drain.unwrap_or_default());
        })?;
        match closed {
            // It is deregistered; the thread's flag tells that the drain was cut short.
            Err(error) if error.kind() == Kind::Cancelled => Ok(()),
            closed => closed,
        }
    });
}

#[jni_mangle("io.plumline.Memory")]
pub fn free_registration<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    registration: Handle<Registration>,
) {
    boundary(&env, &this, |_| {
        registration.free();
        Ok(())
    });
}
