//! What belongs to the library and to no client: version, logs, the orderly exit.

use jni::objects::{JByteArray, JObject};
use jni::sys::jboolean;
use jni::{EnvUnowned, jni_mangle};
use plumline::Kind;
use plumline::interrupt::Never;
use plumline_bindings::{exit, logs};

use crate::boundary::boundary;
use crate::frame::Writer;

/// The version, then each kind of error by name and number: what a jar checks before it uses a library.
#[jni_mangle("io.plumline.NativeLibrary")]
pub fn identify<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let mut out = Writer::default();
        out.text(env!("CARGO_PKG_VERSION")).u32(Kind::ALL.len() as u32);
        Kind::ALL.iter().for_each(|kind| {
            out.text(kind.name()).u8(kind.number());
        });
        java.array(&[&out.0])
    })
}

/// Whether a drainer of the logs has to be started; true once for whoever asks first.
#[jni_mangle("io.plumline.NativeLibrary")]
pub fn wants_drainer<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> jboolean {
    boundary(&env, &this, |_| Ok(logs::wants_drainer()))
}

/// Waits until something was logged; false once no client is open.
#[jni_mangle("io.plumline.NativeLibrary")]
pub fn wait_for_logs<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> jboolean {
    boundary(&env, &this, |_| Ok(logs::wait()))
}

/// What waits to be logged; null for nothing.
#[jni_mangle("io.plumline.NativeLibrary")]
pub fn take_logs<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let lines = logs::take();
        if lines.is_empty() {
            return Ok(JByteArray::default());
        }
        let mut out = Writer::default();
        out.u32(lines.len() as u32);
        lines.iter().for_each(|line| {
            out.text(line.level.as_str()).text(&line.message);
        });
        java.array(&[&out.0])
    })
}

/// At the virtual machine's exit: deregisters what this process registered.
#[jni_mangle("io.plumline.NativeLibrary")]
pub fn at_exit<'local>(env: EnvUnowned<'local>, this: JObject<'local>) {
    boundary(&env, &this, |_| {
        exit::close_all(&Never);
        Ok(())
    });
}
