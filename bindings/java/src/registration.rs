//! Registrations. The client owns them: an instance stays registered if Java collects the object.

use std::time::Duration;

use jni::objects::{JByteArray, JObject};
use jni::sys::jlong;
use jni::{EnvUnowned, jni_mangle};
use plumline::{Error, Instance, Kind, Result};
use plumline_bindings::instance::changed;

use crate::boundary::{ThreadInterrupt, boundary, close_interruptibly};
use crate::ffi::Handle;
use crate::frame::Writer;
use crate::settings::json;

/// The value behind Java's `NativeRegistration`.
pub(crate) struct Registration {
    pub(crate) inner: plumline::Registration,
    pub(crate) drain: Duration,
}

/// Applies the fields of an instance as JSON to another instance.
pub(crate) fn instance(base: Instance, frame: &[u8]) -> Result<Instance> {
    let text = std::str::from_utf8(frame).map_err(|_| Error::invalid("the instance is not valid UTF-8"))?;
    match json(text)? {
        serde_json::Value::Object(fields) => changed(base, fields),
        _ => Err(Error::new(Kind::Internal, "the instance is not a JSON object")),
    }
}

/// State, address, last error, and the instance as JSON.
#[jni_mangle("io.plumline.internal.NativeRegistration")]
pub fn status<'local>(
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

#[jni_mangle("io.plumline.internal.NativeRegistration")]
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

#[jni_mangle("io.plumline.internal.NativeRegistration")]
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

/// Deregisters, then waits for `drain` nanoseconds; a negative value stands for the configured drain time.
#[jni_mangle("io.plumline.internal.NativeRegistration")]
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
        close_interruptibly(Some(drain), |drain, interrupt| {
            closed = inner.with_interrupt(interrupt).close(drain.unwrap_or_default());
        })?;
        match closed {
            // The instance is deregistered. An interrupt has ended the drain; the interrupt flag is set.
            Err(error) if error.kind() == Kind::Cancelled => Ok(()),
            closed => closed,
        }
    });
}

#[jni_mangle("io.plumline.internal.NativeMemory")]
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
