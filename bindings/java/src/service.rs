//! A service, or some of its endpoints, bound once: the fast path of many calls and picks.

use std::sync::Arc;

use jni::objects::{JByteArray, JObject};
use jni::sys::{jint, jlong};
use jni::{EnvUnowned, jni_mangle};
use plumline::{Pick, ServiceHandle};

use crate::boundary::{ThreadInterrupt, boundary};
use crate::endpoint::Seen;
use crate::ffi::Handle;
use crate::pick::Slots;
use crate::{request, response};

/// What Java's `NativeService` stands for.
pub(crate) struct Service {
    handle: ServiceHandle,
    seen: Arc<Seen>,
    picks: Slots,
}

impl Service {
    pub(crate) fn new(handle: ServiceHandle, seen: Arc<Seen>) -> Service {
        Service { handle, seen, picks: Slots::default() }
    }

    /// Whether the list is stale, the endpoint's number, the pick's key: 1, 31 and 32 bits.
    fn pick(&self) -> plumline::Result<jlong> {
        let pick = match self.handle.try_pick()? {
            Some(pick) => pick,
            None => self.handle.with_interrupt(&ThreadInterrupt).pick()?,
        };
        let id = self.seen.with(pick.endpoint(), |record| record.id);
        let stale = u64::from(pick.is_stale());
        Ok((stale << 63 | u64::from(id) << 32 | u64::from(self.picks.put(pick)?)).cast_signed())
    }
}

#[jni_mangle("io.plumline.NativeService")]
pub fn call<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    service: Handle<Service>,
    request: JByteArray<'local>,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Service { handle, seen, .. } = service.get();
        let request = request::read(&java.bytes(&request)?)?;
        response::write(java, seen, &handle.with_interrupt(&ThreadInterrupt).call(&request)?)
    })
}

#[jni_mangle("io.plumline.NativeService")]
pub fn choose<'local>(env: EnvUnowned<'local>, this: JObject<'local>, service: Handle<Service>) -> jlong {
    boundary(&env, &this, |_| service.get().pick())
}

#[jni_mangle("io.plumline.NativeService")]
pub fn chosen<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    service: Handle<Service>,
    key: jint,
) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let Service { seen, picks, .. } = service.get();
        let endpoint = picks.with(key.cast_unsigned(), |pick| pick.endpoint().clone());
        let endpoint = endpoint.ok_or_else(|| plumline::Error::invalid("the pick is settled"))?;
        seen.with(&endpoint, |record| java.array(&[&record.frame]))
    })
}

#[jni_mangle("io.plumline.NativeService")]
pub fn settle<'local>(
    env: EnvUnowned<'local>,
    this: JObject<'local>,
    service: Handle<Service>,
    key: jint,
    outcome: jint,
) {
    boundary(&env, &this, |_| {
        // Told without the lock: a report may do more than count.
        let pick: Option<Pick> = service.get().picks.take(key.cast_unsigned());
        if let Some(pick) = pick {
            match outcome {
                1 => pick.success(),
                2 => pick.failure(),
                _ => {} // collected without a word: neutral
            }
        }
        Ok(())
    });
}

#[jni_mangle("io.plumline.Memory")]
pub fn free_service<'local>(env: EnvUnowned<'local>, this: JObject<'local>, service: Handle<Service>) {
    boundary(&env, &this, |_| {
        service.free();
        Ok(())
    });
}
