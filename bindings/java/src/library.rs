//! Functions of the library as a whole: version, logs, deregistration at exit. The native functions of `NativeLibrary`.

use jni::objects::{JByteArray, JObject};
use jni::sys::jboolean;
use jni::{EnvUnowned, jni_mangle};
use plumline::interrupt::Never;
use plumline::{Kind, Outgoing};
use plumline_bindings::{exit, logs};

use crate::boundary::boundary;
use crate::frame::{Reader, Writer};

/// The version, then each kind of error by name and number. The jar checks the version.
#[jni_mangle("io.plumline.internal.NativeLibrary")]
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

/// Rejects a request header that cannot have this name and value.
#[jni_mangle("io.plumline.internal.NativeLibrary")]
pub fn check_header<'local>(env: EnvUnowned<'local>, this: JObject<'local>, header: JByteArray<'local>) {
    boundary(&env, &this, |java| {
        let frame = java.bytes(&header)?;
        let mut frame = Reader(&frame);
        Outgoing::new("", "", "").set_header(frame.text()?, frame.text()?)
    });
}

/// Whether the caller must start the thread that forwards logs; true for one caller only.
#[jni_mangle("io.plumline.internal.NativeLibrary")]
pub fn needs_log_thread<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> jboolean {
    boundary(&env, &this, |_| Ok(logs::wants_drainer()))
}

/// Waits for a log record; false once no client is open.
#[jni_mangle("io.plumline.internal.NativeLibrary")]
pub fn wait_for_logs<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> jboolean {
    boundary(&env, &this, |_| Ok(logs::wait()))
}

/// Removes and returns all pending log records; null if there are none.
#[jni_mangle("io.plumline.internal.NativeLibrary")]
pub fn take_logs<'local>(env: EnvUnowned<'local>, this: JObject<'local>) -> JByteArray<'local> {
    boundary(&env, &this, |java| {
        let records = logs::take();
        if records.is_empty() {
            return Ok(JByteArray::default());
        }
        let mut out = Writer::default();
        out.u32(records.len() as u32);
        records.iter().for_each(|record| {
            out.text(record.level.as_str()).text(&record.message);
        });
        java.array(&[&out.0])
    })
}

/// Called when the virtual machine exits: deregisters all instances of this process.
#[jni_mangle("io.plumline.internal.NativeLibrary")]
pub fn at_exit<'local>(env: EnvUnowned<'local>, this: JObject<'local>) {
    boundary(&env, &this, |_| {
        exit::close_all(&Never);
        Ok(())
    });
}
