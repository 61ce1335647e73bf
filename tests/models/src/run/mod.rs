//! `firmware/aegis/src/run`: the queue, and what it needs.

#[path = "../../../../firmware/aegis/src/run/queue.rs"]
pub(crate) mod queue;

pub(crate) mod books {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Entry {
        Counted,
    }
}

/// Threads that rest, as `std::thread` has them: a token that `unpark` leaves and `park` takes. (loom's own `unpark` is no point
/// at which another thread may come in, and hands over all that its caller knows, waited for or not.)
pub(crate) mod threads {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::time::Duration;

    pub(crate) use loom::sync::atomic::Ordering::Acquire;
    pub(crate) use loom::sync::atomic::fence;
    use loom::sync::{Condvar, Mutex};

    #[derive(Clone)]
    pub(crate) struct Thread(Arc<(Mutex<bool>, Condvar)>);

    loom::thread_local! {
        static CURRENT: RefCell<Option<Thread>> = RefCell::new(None);
    }

    impl Thread {
        pub(crate) fn new() -> Self {
            Self(Arc::new((Mutex::new(false), Condvar::new())))
        }

        /// Who calls this is that thread from now on.
        pub(crate) fn is_me(&self) {
            CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
        }

        pub(crate) fn unpark(&self) {
            *self.0.0.lock().expect("no panic") = true;
            self.0.1.notify_one();
        }
    }

    pub(crate) fn park() {
        let Thread(me) = CURRENT.with(|current| current.borrow().clone()).expect("it said who it is");
        let mut token = me.0.lock().expect("no panic");
        while !*token {
            token = me.1.wait(token).expect("no panic");
        }
        *token = false;
    }

    /// Without the time: whoever is not woken sleeps for ever, and loom says so.
    pub(crate) fn park_timeout(_: Duration) {
        park();
    }
}
