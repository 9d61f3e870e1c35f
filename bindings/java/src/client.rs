//! The client: the native functions of `NativeClient`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use jni::objects::{JByteArray, JObject};
use jni::sys::{jboolean, jlong};
use jni::{EnvUnowned, jni_mangle};
use plumline::{Endpoint, Error, Instance, Kind, Result};
use plumline_bindings::exit;
use plumline_bindings::logs::{self, Listening};

use crate::boundary::{ThreadInterrupt, boundary, close_interruptibly};
use crate::endpoint::EndpointCache;
use crate::ffi::Handle;
use crate::frame::{Reader, Writer};
use crate::registration::{Registration, instance};
use crate::request::query;
use crate::service::Service;
use crate::settings::{self, json};
use crate::watch::Watch;
use crate::{request, response};

/// The value behind Java's `NativeClient`.
pub(crate) struct Client {
    inner: plumline::Client,
    cache: Arc<EndpointCache>,
    has_registered: AtomicBool,
    listening: Listening,
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn open<'local>(env: EnvUnowned<'local>, this: JObject<'local>, settings: JByteArray<'local>) -> jlong {
    boundary(&env, &this, |java| {
        let builder = settings::read(&java.bytes(&settings)?)?;
        let listening = logs::listen();
        let (inner, cache) = (builder.build()?, Arc::default());
        Ok(Handle::give(Client { inner, cache, has_registered: AtomicBool::new(false), listening }))
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn call<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    request: JByteArray<'local>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Client { inner, cache, .. } = client.get();
        let request = request::read(&java.bytes(&request)?)?;
        response::write(java, cache, &inner.with_interrupt(&ThreadInterrupt).call(&request)?)
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn discover<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    wanted: JByteArray<'local>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Client { inner, cache, .. } = client.get();
        let found = inner.with_interrupt(&ThreadInterrupt).discover(query(&java.bytes(&wanted)?)?)?;
        let mut out = Writer::with_capacity(64 + 256 * found.len());
        cache.list(&mut out, &found);
        java.array(&[&out.0])
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn service<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    wanted: JByteArray<'local>,
) -> jlong {
    boundary(&env, &this, |java| {
        let Client { inner, cache, .. } = client.get();
        let handle = inner.service(query(&java.bytes(&wanted)?)?)?;
        Ok(Handle::give(Service::new(handle, cache.clone())))
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn register<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    fields: JByteArray<'local>,
) -> jlong {
    boundary(&env, &this, |java| {
        let Client { inner, has_registered, .. } = client.get();
        let instance = instance(Instance::default(), &java.bytes(&fields)?)?;
        let drain = inner.config().registration.drain;
        let registered = inner.with_interrupt(&ThreadInterrupt).register(instance)?;
        if !has_registered.swap(true, Relaxed) {
            exit::remember(inner);
        }
        Ok(Handle::give(Registration { inner: registered.detach(), drain }))
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn watch<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    service: JByteArray<'local>,
) -> jlong {
    boundary(&env, &this, |java| {
        let Client { inner, cache, .. } = client.get();
        let inner = inner.watch(Reader(&java.bytes(&service)?).text()?)?;
        Ok(Handle::give(Watch { inner, cache: cache.clone() }))
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn watch_all<'local>(env: EnvUnowned<'local>, this: JObject<'local>, client: Handle<Client>) -> jlong {
    boundary(&env, &this, |_| {
        let Client { inner, cache, .. } = client.get();
        Ok(Handle::give(Watch { inner: inner.watch_all()?, cache: cache.clone() }))
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn wait_for<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    wanted: JByteArray<'local>,
    timeout: jlong,
) {
    boundary(&env, &this, |java| {
        let (query, timeout) = (query(&java.bytes(&wanted)?)?, Duration::from_nanos(timeout.unsigned_abs()));
        client.get().inner.with_interrupt(&ThreadInterrupt).wait_for(query, timeout)
    });
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn explain<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    wanted: JByteArray<'local>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let query = query(&java.bytes(&wanted)?)?;
        let explanation = client.get().inner.with_interrupt(&ThreadInterrupt).explain(query)?;
        let mut out = Writer::with_capacity(1_024);
        out.text(&explanation.query).text(&explanation.summary).u32(explanation.usable as u32);
        out.text(&explanation.source).text(&explanation.to_string());
        out.u32(explanation.endpoints.len() as u32);
        for each in &explanation.endpoints {
            out.endpoint(&each.endpoint).u8(u8::from(each.usable));
            out.texts(each.reasons.iter().map(String::as_str));
            out.f64(each.ewma_ms.unwrap_or(f64::NAN)).f64(each.success);
            out.u32(each.in_flight).u32(each.weight);
        }
        java.array(&[&out.0])
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn services<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let names = client.get().inner.with_interrupt(&ThreadInterrupt).services()?;
        let mut out = Writer::default();
        out.texts(names.iter().map(String::as_str));
        java.array(&[&out.0])
    })
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn stats<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let stats = serde_json::to_vec(&client.get().inner.stats()?);
        java.array(&[&stats.map_err(|error| Error::new(Kind::Internal, error.to_string()))?])
    })
}

/// Publishes endpoints. The frame: name of the service, endpoints as JSON.
#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn publish<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    published: JByteArray<'local>,
) {
    boundary(&env, &this, |java| {
        let frame = java.bytes(&published)?;
        let mut frame = Reader(&frame);
        let (service, endpoints) = (frame.text()?, frame.text()?);
        client.get().inner.publish(service, parse_endpoints(endpoints)?)
    });
}

fn parse_endpoints(text: &str) -> Result<Vec<Endpoint>> {
    serde_json::from_str(text).map_err(|error| Error::invalid(format!("endpoints: {error}")))
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn clear_cache<'local>(env: EnvUnowned<'local>, this: JObject<'local>, client: Handle<Client>) {
    boundary(&env, &this, |_| client.get().inner.clear_cache());
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn configure<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
    changes: JByteArray<'local>,
) {
    boundary(&env, &this, |java| {
        let changes = java.bytes(&changes)?;
        client.get().inner.configure(json(Reader(&changes).text()?)?)
    });
}

/// Closes the client. `drain` is in nanoseconds; a negative value stands for the configured drain time.
#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn close<'local>(env: EnvUnowned<'local>, this: JObject<'local>, client: Handle<Client>, drain: jlong) {
    boundary(&env, &this, |_| {
        let Client { inner, cache, .. } = client.get();
        let drain = u64::try_from(drain).ok().map(Duration::from_nanos);
        close_interruptibly(drain, |drain, interrupt| inner.with_interrupt(interrupt).close_draining(drain))?;
        cache.clear();
        exit::forget_closed();
        Ok(())
    });
}

/// Called after the last logs were taken. The log thread ends with the last client.
#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn end_logging<'local>(env: EnvUnowned<'local>, this: JObject<'local>, client: Handle<Client>) {
    boundary(&env, &this, |_| {
        client.get().listening.end();
        Ok(())
    });
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn is_closed<'local>(env: EnvUnowned<'local>, this: JObject<'local>, client: Handle<Client>) -> jboolean {
    boundary(&env, &this, |_| Ok(client.get().inner.is_closed()))
}

#[jni_mangle("io.plumline.internal.NativeClient")]
pub fn describe<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    client: Handle<Client>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| java.array(&[format!("{:?}", client.get().inner).as_bytes()]))
}

#[jni_mangle("io.plumline.internal.NativeMemory")]
pub fn free_client<'local>(env: EnvUnowned<'local>, this: JObject<'local>, client: Handle<Client>) {
    boundary(&env, &this, |_| {
        client.free();
        Ok(())
    });
}
