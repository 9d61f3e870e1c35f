//! All unsafe code: handles that Java holds, and calls into Java.
//!
//! ```text
//!  Java object ── long ──► Box<T>     borrowed by native functions of that object, freed only by its Cleaner
//!  native function ── Java (env, this) ──► bytes in, bytes out, throwError(), invokeCallback(), isInterrupted()
//! ```

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};
use jni::errors::Error as JniError;
use jni::ids::JMethodID;
use jni::objects::{JByteArray, JObject};
use jni::signature::{Primitive, ReturnType};
use jni::sys::{JNI_ERR, JNI_VERSION_1_8, JNIEnv, jint, jlong, jobject, jvalue};
use jni::{Env, EnvUnowned, JavaVM, jni_sig, jni_str};
use plumline::{Error, Kind, Result};

// === handles ===

/// A handle that Java holds: the address of a value, created by [`Handle::give`].
#[repr(transparent)]
pub(crate) struct Handle<T>(jlong, PhantomData<fn() -> T>);

impl<T: Send + Sync> Handle<T> {
    /// Gives a value to Java. It stays at this address until [`Handle::free`].
    pub(crate) fn give(value: T) -> jlong {
        Box::into_raw(Box::new(value)) as jlong
    }

    /// Borrows the value while the native function runs that received the handle.
    pub(crate) fn get(&self) -> &T {
        // SAFETY: the handle comes from `give` (Java creates none, and passes it only to native methods of its own
        // class), and the value is alive: native methods are instance methods, so the object that holds the handle
        // is reachable while one runs, and only its Cleaner frees the value.
        unsafe { &*(self.0 as *const T) }
    }

    /// Frees the value.
    pub(crate) fn free(self) {
        // SAFETY: from `give`; the Cleaner runs once, after the object that holds the handle became unreachable.
        drop(unsafe { Box::from_raw(self.0 as *mut T) });
    }
}

// === method ids, looked up at each load ===

/// The methods of `io.plumline.internal.Native` that are called from here. The ids are valid while a native function
/// runs, because its receiver keeps the class and the class loader alive.
///
/// The library stays mapped after its class loader was collected (see `build.rs`), with ids that are no longer valid.
/// The next class loader that loads the same file looks them up again. Two live class loaders cannot load one file:
/// the virtual machine refuses, and the second loads a copy with its own statics. So the latest load is the valid one.
struct Methods {
    throw_error: JMethodID,
    invoke_callback: JMethodID,
    is_interrupted: JMethodID,
}

static METHODS: ArcSwapOption<Methods> = ArcSwapOption::const_empty();

/// Called by the virtual machine when a class loader has loaded the library.
#[unsafe(no_mangle)]
pub extern "system" fn JNI_OnLoad(vm: *mut jni::sys::JavaVM, _: *mut c_void) -> jint {
    // SAFETY: the virtual machine passes itself.
    let vm = unsafe { JavaVM::from_raw(vm) };
    match vm.with_local_frame(8, look_up) {
        Ok(()) => JNI_VERSION_1_8,
        Err(_) => JNI_ERR,
    }
}

fn look_up(env: &mut Env<'_>) -> jni::errors::Result<()> {
    let class = env.find_class(jni_str!("io/plumline/internal/Native"))?;
    let methods = Methods {
        throw_error: env.get_method_id(&class, jni_str!("throwError"), jni_sig!("([BZ)V"))?,
        invoke_callback: env.get_method_id(&class, jni_str!("invokeCallback"), jni_sig!("(I[B)[B"))?,
        is_interrupted: env.get_method_id(&class, jni_str!("isInterrupted"), jni_sig!("()Z"))?,
    };
    METHODS.store(Some(Arc::new(methods)));
    Ok(())
}

fn method(which: impl FnOnce(&Methods) -> JMethodID) -> jni::errors::Result<JMethodID> {
    let methods: Guard<Option<Arc<Methods>>> = METHODS.load();
    methods.as_deref().map(which).ok_or(JniError::UninitializedJavaVM)
}

// === a native call ===

thread_local! {
    /// The innermost native call that is running on this thread.
    static CALLER: Cell<Option<(*mut JNIEnv, jobject)>> = const { Cell::new(None) };
}

/// A native call that is running: its environment and its receiver.
pub(crate) struct Java<'local> {
    env: *mut JNIEnv,
    outer: Option<(*mut JNIEnv, jobject)>,
    frame: PhantomData<(EnvUnowned<'local>, JObject<'local>)>,
}

impl<'local> Java<'local> {
    /// Begins a native call.
    pub(crate) fn enter(env: &EnvUnowned<'local>, this: &JObject<'local>) -> Java<'local> {
        let outer = CALLER.replace(Some((env.as_raw(), this.as_raw())));
        Java { env: env.as_raw(), outer, frame: PhantomData }
    }

    /// Copies the bytes of an array that Java passed.
    pub(crate) fn bytes(&self, array: &JByteArray<'local>) -> Result<Vec<u8>> {
        self.with_env(|env| env.convert_byte_array(array))
    }

    /// Creates a Java array of these parts, one after the other.
    pub(crate) fn array(&self, parts: &[&[u8]]) -> Result<JByteArray<'local>> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if i32::try_from(length).is_err() {
            let why = format!("a response of {length} bytes does not fit into a Java array; lower max_body");
            return Err(Error::new(Kind::Protocol, why));
        }
        self.with_env(|env| {
            let array = JByteArray::new(env, length)?;
            let mut start = 0;
            for part in parts {
                array.set_region(env, start, signed(part))?;
                start += part.len() as i32;
            }
            Ok(array)
        })
    }

    /// Throws the Java exception of an error. The native function must return afterwards.
    pub(crate) fn throw(&self, error: &[u8], in_callback: bool) {
        let thrown = self.with_env(|env| {
            if env.exception_check() {
                return Ok(()); // most likely OutOfMemoryError; the caller gets that one
            }
            let error = env.byte_array_from_slice(error)?;
            call(
                env,
                |methods| methods.throw_error,
                ReturnType::Primitive(Primitive::Void),
                &[jvalue { l: error.as_raw() }, jvalue { z: in_callback }],
            )
            .map(drop)
        });
        // The result is an error, because the Java method throws.
        drop(thrown);
    }

    fn with_env<T>(&self, job: impl FnOnce(&mut Env<'local>) -> jni::errors::Result<T>) -> Result<T> {
        // SAFETY: the virtual machine passed it to the native function that is still running on this thread. `Java`
        // contains raw pointers, so it cannot be sent to another thread.
        let mut env: EnvUnowned<'local> = unsafe { EnvUnowned::from_raw(self.env) };
        match env.with_env(job).into_outcome() {
            jni::Outcome::Ok(value) => Ok(value),
            jni::Outcome::Err(error) => {
                Err(Error::new(Kind::Internal, format!("a JNI call failed: {error}")))
            }
            jni::Outcome::Panic(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Java<'_> {
    fn drop(&mut self) {
        CALLER.set(self.outer);
    }
}

// === calls into Java, on the caller's thread ===

/// Runs a callback: `None` if it threw. Only valid during a native call.
pub(crate) fn invoke_callback(which: i32, arguments: &[u8]) -> Result<Option<Vec<u8>>> {
    // With its own local frame: a call may run many callbacks, and each result is released at once.
    call_java(|env| env.with_local_frame(8, |env| invoke_in_frame(env, which, arguments)))
}

fn invoke_in_frame(env: &mut Env<'_>, which: i32, arguments: &[u8]) -> jni::errors::Result<Option<Vec<u8>>> {
    let array = env.byte_array_from_slice(arguments)?;
    let arguments = [jvalue { i: which }, jvalue { l: array.as_raw() }];
    let result = call(env, |methods| methods.invoke_callback, ReturnType::Array, &arguments)?.l()?;
    if result.is_null() {
        return Ok(None);
    }
    let result = env.cast_local::<JByteArray<'_>>(result)?;
    env.convert_byte_array(&result).map(Some)
}

/// Whether the calling thread was interrupted. Does not clear the interrupt flag.
pub(crate) fn is_interrupted() -> Result<bool> {
    let boolean = ReturnType::Primitive(Primitive::Boolean);
    call_java(|env| call(env, |methods| methods.is_interrupted, boolean, &[])?.z())
}

fn call_java<T>(job: impl FnOnce(&mut Env<'_>) -> jni::errors::Result<T>) -> Result<T> {
    let Some((env, _)) = CALLER.get() else {
        return Err(Error::new(Kind::Internal, "a call into Java outside of a native call"));
    };
    // SAFETY: set by `Java::enter` for a native call that is still running on this thread, and reset when it ends.
    let mut env = unsafe { EnvUnowned::from_raw(env) };
    let called = env.with_env(|env| {
        let result = job(env);
        if result.is_err() {
            env.exception_clear(); // the Java methods catch all exceptions except a stack overflow
        }
        result
    });
    match called.into_outcome() {
        jni::Outcome::Ok(value) => Ok(value),
        jni::Outcome::Err(error) => {
            Err(Error::new(Kind::Internal, format!("a call into Java failed: {error}")))
        }
        jni::Outcome::Panic(panic) => std::panic::resume_unwind(panic),
    }
}

fn call<'local>(
    env: &mut Env<'local>,
    which: impl FnOnce(&Methods) -> JMethodID,
    returns: ReturnType,
    arguments: &[jvalue],
) -> jni::errors::Result<jni::JValueOwned<'local>> {
    let method = method(which)?;
    let Some((_, this)) = CALLER.get() else { return Err(JniError::NullPtr("this")) };
    // SAFETY: the receiver of the running native call: alive, and of a class that extends `Native`, which declares
    // these methods. The reference belongs to the virtual machine and is not dropped here (JObject has no Drop).
    let this = unsafe { JObject::from_raw(env, this) };
    // SAFETY: the method was looked up with the signature of these arguments and this result.
    unsafe { env.call_method_unchecked(&this, method, returns, arguments) }
}

fn signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is valid for both.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}
