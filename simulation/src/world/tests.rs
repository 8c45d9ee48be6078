use super::*;
use opjournal::environment::Environment;
use std::task::Poll;
use std::time::Duration;

fn plain() -> Scheduling {
    Scheduling { shuffled: false, timer_slack: 0, compute: 0, drift_ppm: 0 }
}

fn log() -> (Arc<Mutex<Vec<String>>>, impl Fn(String) + Clone + Send + Sync) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writer = lines.clone();
    (lines, move |line| writer.lock().expect("lines").push(line))
}

#[test]
fn the_clock_jumps_to_the_next_timer() {
    let world = World::new(1, plain());
    let process = world.process("one");
    let (lines, write) = log();
    for (name, seconds) in [("late", 7), ("early", 3)] {
        let (process, write) = (process.clone(), write.clone());
        let wait = process.sleep_until(process.after(seconds * SECOND));
        process.clone().spawn(
            name,
            Box::pin(async move {
                wait.await;
                write(format!("{name} {}", process.world().now() / SECOND));
            }),
        );
    }
    world.run_until(100 * SECOND);
    assert_eq!(*lines.lock().expect("lines"), ["early 4", "late 8"]);
    assert_eq!(world.now(), 100 * SECOND);
}

#[test]
fn a_frozen_process_does_nothing_while_its_clock_goes_on() {
    let world = World::new(1, plain());
    let process = world.process("one");
    let (lines, write) = log();
    let (inside, began) = (process.clone(), process.now());
    process.spawn(
        "waits",
        Box::pin(async move {
            inside.sleep_until(began + Duration::from_secs(1)).await;
            write(format!("{:?}", inside.now().since(began)));
        }),
    );
    world.freeze(process.id());
    world.run_until(50 * SECOND);
    assert!(lines.lock().expect("lines").is_empty());
    world.thaw(process.id());
    world.run_until(60 * SECOND);
    assert_eq!(*lines.lock().expect("lines"), ["49s"]);
}

#[test]
fn a_crash_drops_the_tasks_of_its_process_only() {
    struct Dropped(&'static str, Arc<Mutex<Vec<String>>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.1.lock().expect("lines").push(self.0.to_owned());
        }
    }
    let world = World::new(1, plain());
    let (lines, _) = log();
    let processes = [("a", world.process("a")), ("b", world.process("b"))];
    for (name, process) in &processes {
        let guard = Dropped(name, lines.clone());
        let world = world.clone();
        process.spawn(
            "sleeper",
            Box::pin(async move {
                let _guard = guard;
                world.sleep_until(Time::MAX).await;
            }),
        );
    }
    world.run_until(2 * SECOND);
    world.crash(processes[0].1.id());
    assert_eq!(*lines.lock().expect("lines"), ["a"]);
    processes[0].1.spawn("of the dead", Box::pin(async { panic!("never polled") }));
    world.run_until(3 * SECOND);
    assert!(world.panics().is_empty());
    world.end();
    assert_eq!(*lines.lock().expect("lines"), ["a", "b"]);
}

#[test]
fn a_panic_is_kept_with_its_place() {
    let world = World::new(1, plain());
    world.process("one").spawn("fails", Box::pin(async { panic!("boom") }));
    world.run_until(2 * SECOND);
    let panics = world.panics();
    assert_eq!((panics.len(), panics[0].process.as_str(), panics[0].task), (1, "one", "fails"));
    assert!(panics[0].message.contains("boom") && panics[0].message.contains(file!()), "{}", panics[0].message);
}

#[test]
fn a_task_that_spins_is_noticed() {
    let world = World::new(1, plain());
    world.process("one").spawn(
        "spins",
        Box::pin(std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Pending
        })),
    );
    world.run_until(2 * SECOND);
    assert!(world.panics()[0].message.contains("spins"));
}

#[test]
fn a_job_runs_to_its_end_though_nobody_waits() {
    let world = World::new(1, Scheduling { compute: SECOND, ..plain() });
    let process = world.process("one");
    let (lines, write) = log();
    drop(process.compute(Box::new(move || write("done".to_owned()))));
    world.run_until(9 * SECOND);
    assert_eq!(*lines.lock().expect("lines"), ["done"]);
}

#[test]
fn a_seed_decides_the_order_of_what_is_ready() {
    let order = |seed, shuffled| {
        let world = World::new(seed, Scheduling { shuffled, ..plain() });
        let process = world.process("one");
        let (lines, write) = log();
        for number in 0..20 {
            let write = write.clone();
            process.spawn("numbered", Box::pin(async move { write(number.to_string()) }));
        }
        world.run_until(2 * SECOND);
        (lines.lock().expect("lines").join(" "), world.hash())
    };
    assert_eq!(order(1, true), order(1, true));
    assert_ne!(order(1, true), order(2, true));
    assert_eq!(order(1, false).0, order(2, false).0);
}
