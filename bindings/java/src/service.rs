//! A handle of a service, or of some of its endpoints: the native functions of `NativeService`.

use std::sync::Arc;

use jni::objects::{JByteArray, JObject};
use jni::sys::{jint, jlong};
use jni::{EnvUnowned, jni_mangle};
use plumline::{Pick, ServiceHandle};

use crate::boundary::{ThreadInterrupt, boundary};
use crate::endpoint::EndpointCache;
use crate::ffi::Handle;
use crate::pick::Slots;
use crate::{request, response};

/// The value behind Java's `NativeService`.
pub(crate) struct Service {
    handle: ServiceHandle,
    cache: Arc<EndpointCache>,
    picks: Slots,
}

impl Service {
    pub(crate) fn new(handle: ServiceHandle, cache: Arc<EndpointCache>) -> Service {
        Service { handle, cache, picks: Slots::default() }
    }

    /// Picks an endpoint. The result, from the highest bit: 1 bit stale, 31 bits endpoint id, 32 bits key of the pick.
    fn pick(&self) -> plumline::Result<jlong> {
        let pick = match self.handle.try_pick()? {
            Some(pick) => pick,
            None => self.handle.with_interrupt(&ThreadInterrupt).pick()?,
        };
        let id = self.cache.with(pick.endpoint(), |record| record.id);
        let stale = u64::from(pick.is_stale());
        Ok((stale << 63 | u64::from(id) << 32 | u64::from(self.picks.put(pick)?)).cast_signed())
    }
}

#[jni_mangle("io.plumline.internal.NativeService")]
pub fn call<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    service: Handle<Service>,
    request: JByteArray<'local>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Service { handle, cache, .. } = service.get();
        let request = request::read(&java.bytes(&request)?)?;
        response::write(java, cache, &handle.with_interrupt(&ThreadInterrupt).call(&request)?)
    })
}

#[jni_mangle("io.plumline.internal.NativeService")]
pub fn pick<'local>(env: EnvUnowned<'local>, this: JObject<'local>, service: Handle<Service>) -> jlong {
    boundary(&env, &this, |_| service.get().pick())
}

#[jni_mangle("io.plumline.internal.NativeService")]
pub fn picked_endpoint<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    service: Handle<Service>,
    key: jint,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Service { cache, picks, .. } = service.get();
        let endpoint = picks.with(key.cast_unsigned(), |pick| pick.endpoint().clone());
        let endpoint = endpoint.ok_or_else(|| plumline::Error::invalid("the pick is already settled"))?;
        cache.with(&endpoint, |record| java.array(&[&record.frame]))
    })
}

#[jni_mangle("io.plumline.internal.NativeService")]
pub fn settle<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    service: Handle<Service>,
    key: jint,
    outcome: jint,
) {
    boundary(&env, &this, |_| {
        // Reported after the lock is released, because a report may take longer.
        let pick: Option<Pick> = service.get().picks.take(key.cast_unsigned());
        if let Some(pick) = pick {
            match outcome {
                1 => pick.success(),
                2 => pick.failure(),
                _ => {} // collected without a report: neither
            }
        }
        Ok(())
    });
}

#[jni_mangle("io.plumline.internal.NativeMemory")]
pub fn free_service<'local>(env: EnvUnowned<'local>, this: JObject<'local>, service: Handle<Service>) {
    boundary(&env, &this, |_| {
        service.free();
        Ok(())
    });
}
