//! Everything here that the compiler cannot check: Java's numbers for our values, and calls into Java.
//!
//! ```text
//!  Java object ── long ──► Box<T>     borrowed by natives of that object, taken back by its Cleaner alone
//!  native ── Java (env, this) ──► bytes in, bytes out, fail(), and up again: ask(), interrupted()
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

// === values that Java holds ===

/// What Java holds of a value of ours: a number that only `give` makes.
#[repr(transparent)]
pub(crate) struct Handle<T>(jlong, PhantomData<fn() -> T>);

impl<T: Send + Sync> Handle<T> {
    /// Gives a value to Java. It stays where it is until [`Handle::free`].
    pub(crate) fn give(value: T) -> jlong {
        Box::into_raw(Box::new(value)) as jlong
    }

    /// The value, for as long as the native runs that was given the number.
    pub(crate) fn get(&self) -> &T {
        // SAFETY: the number comes from `give` (Java makes none, and passes it only to natives of its own class),
        // and the value lives: natives are instance methods, so the object that holds the number is reachable
        // while one runs, and only its Cleaner frees.
        unsafe { &*(self.0 as *const T) }
    }

    /// Takes the value back.
    pub(crate) fn free(self) {
        // SAFETY: from `give`; the Cleaner runs once, when the object that holds the number is unreachable.
        drop(unsafe { Box::from_raw(self.0 as *mut T) });
    }
}

// === what is looked up at each load ===

/// The methods of `io.plumline.Native` that are called from here. They stay valid while a native runs, because its
/// receiver keeps the class, and with it the class loader.
///
/// The library stays mapped when its class loader is gone (see `build.rs`), and these with it, worthless. The next
/// class loader that loads the same file finds them anew. Two that live cannot both load one file: the virtual
/// machine refuses, and the second gets a copy with statics of its own. So the latest load is the one that counts.
struct Methods {
    fail: JMethodID,
    ask: JMethodID,
    interrupted: JMethodID,
}

static METHODS: ArcSwapOption<Methods> = ArcSwapOption::const_empty();

/// Called by the virtual machine whenever a class loader has loaded the library.
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
    let class = env.find_class(jni_str!("io/plumline/Native"))?;
    let methods = Methods {
        fail: env.get_method_id(&class, jni_str!("fail"), jni_sig!("([BZ)V"))?,
        ask: env.get_method_id(&class, jni_str!("ask"), jni_sig!("(I[B)[B"))?,
        interrupted: env.get_method_id(&class, jni_str!("interrupted"), jni_sig!("()Z"))?,
    };
    METHODS.store(Some(Arc::new(methods)));
    Ok(())
}

fn method(which: impl FnOnce(&Methods) -> JMethodID) -> jni::errors::Result<JMethodID> {
    let methods: Guard<Option<Arc<Methods>>> = METHODS.load();
    methods.as_deref().map(which).ok_or(JniError::UninitializedJavaVM)
}

// === one native call ===

thread_local! {
    /// The innermost native that runs on this thread.
    static CALLER: Cell<Option<(*mut JNIEnv, jobject)>> = const { Cell::new(None) };
}

/// A native call that runs: who called, and how to answer.
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

    /// The bytes that Java passed.
    pub(crate) fn bytes(&self, array: &JByteArray<'local>) -> Result<Vec<u8>> {
        self.with_env(|env| env.convert_byte_array(array))
    }

    /// These bytes, one part after the other, as an array.
    pub(crate) fn array(&self, parts: &[&[u8]]) -> Result<JByteArray<'local>> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if i32::try_from(length).is_err() {
            let why = format!("{length} bytes are more than a Java array can hold; lower max_body");
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

    /// Has Java throw what these bytes tell of; the native has nothing more to do then.
    pub(crate) fn fail(&self, error: &[u8], raised: bool) {
        let thrown = self.with_env(|env| {
            if env.exception_check() {
                return Ok(()); // out of memory, most likely: that is what the caller gets
            }
            let error = env.byte_array_from_slice(error)?;
            call(
                env,
                |methods| methods.fail,
                ReturnType::Primitive(Primitive::Void),
                &[jvalue { l: error.as_raw() }, jvalue { z: raised }],
            )
            .map(drop)
        });
        // An error here is the exception that was asked for.
        drop(thrown);
    }

    fn with_env<T>(&self, job: impl FnOnce(&mut Env<'local>) -> jni::errors::Result<T>) -> Result<T> {
        // SAFETY: `enter` had it from the virtual machine for the native that still runs, on this thread: the
        // raw pointers within keep `Java` from being sent to another.
        let mut env: EnvUnowned<'local> = unsafe { EnvUnowned::from_raw(self.env) };
        match env.with_env(job).into_outcome() {
            jni::Outcome::Ok(value) => Ok(value),
            jni::Outcome::Err(error) => Err(Error::new(Kind::Internal, format!("Java refuses: {error}"))),
            jni::Outcome::Panic(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Java<'_> {
    fn drop(&mut self) {
        CALLER.set(self.outer);
    }
}

// === up into Java, on the caller's thread ===

/// Runs code of the user's: `None` if it raised. Only within a native call.
pub(crate) fn ask(what: i32, question: &[u8]) -> Result<Option<Vec<u8>>> {
    // In a frame of its own: a call may ask often, and what it was answered is Java's again at once.
    upwards(|env| env.with_local_frame(8, |env| ask_within(env, what, question)))
}

fn ask_within(env: &mut Env<'_>, what: i32, question: &[u8]) -> jni::errors::Result<Option<Vec<u8>>> {
    let question = env.byte_array_from_slice(question)?;
    let arguments = [jvalue { i: what }, jvalue { l: question.as_raw() }];
    let answer = call(env, |methods| methods.ask, ReturnType::Array, &arguments)?.l()?;
    if answer.is_null() {
        return Ok(None);
    }
    let answer = env.cast_local::<JByteArray<'_>>(answer)?;
    env.convert_byte_array(&answer).map(Some)
}

/// Whether the calling thread was interrupted; the flag stays.
pub(crate) fn is_interrupted() -> Result<bool> {
    let boolean = ReturnType::Primitive(Primitive::Boolean);
    upwards(|env| call(env, |methods| methods.interrupted, boolean, &[])?.z())
}

fn upwards<T>(job: impl FnOnce(&mut Env<'_>) -> jni::errors::Result<T>) -> Result<T> {
    let Some((env, _)) = CALLER.get() else {
        return Err(Error::new(Kind::Internal, "Java was asked for outside of a call from it"));
    };
    // SAFETY: set by `Java::enter` for a native that still runs on this thread, and put back when it ends.
    let mut env = unsafe { EnvUnowned::from_raw(env) };
    let asked = env.with_env(|env| {
        let result = job(env);
        if result.is_err() {
            env.exception_clear(); // Java code of ours catches; this is the stack that overflowed
        }
        result
    });
    match asked.into_outcome() {
        jni::Outcome::Ok(value) => Ok(value),
        jni::Outcome::Err(error) => {
            Err(Error::new(Kind::Internal, format!("a callback could not run: {error}")))
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
    // SAFETY: the receiver of the native that runs: alive, of a class that extends `Native`, whose methods these
    // are; not dropped here, because it is the virtual machine's own reference (JObject has no Drop).
    let this = unsafe { JObject::from_raw(env, this) };
    // SAFETY: looked up with the signature that goes with these arguments and this result.
    unsafe { env.call_method_unchecked(&this, method, returns, arguments) }
}

fn signed(bytes: &[u8]) -> &[i8] {
    // SAFETY: the same size and alignment, and every pattern of bits is a value of both.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}
