//! Locks that are safe to use in a forked child.
//!
//! `parking_lot` keeps waiting threads in one table of the process. After a fork that table still contains the parent's
//! threads, at stack addresses that the child reuses; the next waiting thread may follow them. The locks of `std` wait in
//! the kernel, and a lock that was held during the fork affects that lock only. The types here wrap those of `std`
//! without poisoning, because a panic never leaves the guarded values in an invalid state.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

/// Guards a value.
#[derive(Default)]
pub struct Mutex<T>(std::sync::Mutex<T>);

/// The value, while it is locked.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// `None` only while a condition variable waits with it.
    held: Option<std::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A lock around this value.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(std::sync::Mutex::new(value))
    }

    /// Waits until the lock is free.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.hold()) }
    }

    /// The value, if the lock is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { mutex: self, held: Some(held) })
    }

    /// The value, through exclusive access.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn hold(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> MutexGuard<'_, T> {
    /// Releases the lock during `work`, then takes it again.
    pub fn unlocked<R>(guard: &mut Self, work: impl FnOnce() -> R) -> R {
        drop(guard.held.take());
        let _again = Relock(guard);
        work()
    }
}

/// Takes the lock again when dropped, also by a panic.
struct Relock<'g, 'a, T>(&'g mut MutexGuard<'a, T>);

impl<T> Drop for Relock<'_, '_, T> {
    fn drop(&mut self) {
        self.0.held = Some(self.0.mutex.hold());
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        let Some(held) = &self.held else { unreachable!("the guard is lent out while its owner waits") };
        held
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        let Some(held) = &mut self.held else { unreachable!("the guard is lent out while its owner waits") };
        held
    }
}

/// Lets threads wait for a change of the value of a [`Mutex`].
#[derive(Debug, Default)]
pub struct Condvar(std::sync::Condvar);

impl Condvar {
    /// A condition variable without waiting threads.
    pub const fn new() -> Condvar {
        Condvar(std::sync::Condvar::new())
    }

    /// Waits until it is woken.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits until it is woken, at most for this time.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, most: Duration) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait_timeout(held, most).unwrap_or_else(PoisonError::into_inner).0);
        }
    }

    /// Wakes one waiting thread.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all waiting threads.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unlocked_takes_the_lock_again_even_after_a_panic() {
        let mutex = Mutex::new(1);
        let mut guard = mutex.lock();
        MutexGuard::unlocked(&mut guard, || *mutex.lock() += 1);
        assert_eq!(*guard, 2);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            MutexGuard::unlocked(&mut guard, || panic!("on purpose"));
        }));
        assert!(broken.is_err() && mutex.try_lock().is_none());
        drop(guard);
        assert_eq!(mutex.try_lock().map(|value| *value), Some(2));
    }

    #[test]
    fn condvar_wakes_waiters_and_times_out() {
        let (mutex, woken) = (Mutex::new(false), Condvar::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *mutex.lock() = true;
                woken.notify_all();
            });
            let mut is_done = mutex.lock();
            while !*is_done {
                woken.wait(&mut is_done);
            }
        });
        woken.wait_for(&mut mutex.lock(), Duration::from_millis(1));
    }
}
