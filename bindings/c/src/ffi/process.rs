//! What happens to the whole process: fork, and an orderly exit.

use std::sync::Once;

use plumline::interrupt::Never;

/// Before the first client: from then on a fork and an exit find us prepared.
pub(crate) fn prepare() {
    static PREPARED: Once = Once::new();
    PREPARED.call_once(|| {
        // SAFETY: both take functions that live as long as the process, and that never unwind.
        let (fork, exit) =
            unsafe { (libc::pthread_atfork(None, None, Some(in_child)), libc::atexit(at_exit)) };
        // Out of memory is the only way to fail; what then is missing is said nowhere else.
        debug_assert_eq!((fork, exit), (0, 0));
    });
}

/// In the child, before `fork` returns there: takes no lock.
extern "C" fn in_child() {
    plumline_bindings::forked();
}

/// Deregisters what this process has registered and not closed; what nobody has drained, nobody will.
extern "C" fn at_exit() {
    super::boundary::boundary(std::ptr::null_mut(), || {
        plumline_bindings::exit::close_all(&Never);
        drop(plumline_bindings::logs::take());
        Ok(())
    });
}
