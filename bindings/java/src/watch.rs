//! Watches: the native functions of `NativeWatch`.

use std::sync::Arc;
use std::time::Duration;

use jni::objects::{JByteArray, JObject};
use jni::sys::jlong;
use jni::{EnvUnowned, jni_mangle};

use crate::boundary::{ThreadInterrupt, boundary};
use crate::endpoint::EndpointCache;
use crate::ffi::Handle;
use crate::frame::Writer;

/// The value behind Java's `NativeWatch`.
pub(crate) struct Watch {
    pub(crate) inner: plumline::Watch,
    pub(crate) cache: Arc<EndpointCache>,
}

/// Waits for the next change; null if there is none within `timeout` nanoseconds. A negative timeout never ends.
#[jni_mangle("io.plumline.internal.NativeWatch")]
pub fn next<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    watch: Handle<Watch>,
    timeout: jlong,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Watch { inner, cache } = watch.get();
        let timeout = u64::try_from(timeout).ok().map(Duration::from_nanos);
        let Some(change) = inner.with_interrupt(&ThreadInterrupt).next_within(timeout)? else {
            return Ok(JByteArray::default());
        };
        let mut out = Writer::with_capacity(1_024);
        out.text(&change.service).text(change.kind.name());
        for list in [&change.added, &change.updated, &change.removed, &change.endpoints] {
            cache.list(&mut out, list);
        }
        java.array(&[&out.0])
    })
}

#[jni_mangle("io.plumline.internal.NativeWatch")]
pub fn close<'local>(env: EnvUnowned<'local>, this: JObject<'local>, watch: Handle<Watch>) {
    boundary(&env, &this, |_| {
        watch.get().inner.close();
        Ok(())
    });
}

#[jni_mangle("io.plumline.internal.NativeMemory")]
pub fn free_watch<'local>(env: EnvUnowned<'local>, this: JObject<'local>, watch: Handle<Watch>) {
    boundary(&env, &this, |_| {
        watch.free();
        Ok(())
    });
}
