//! Locks as several processes would hold them.

use super::*;

fn traffic(folder: &Path, port: u16) -> Traffic {
    let master = SocketAddr::from(([127, 0, 0, 1], port));
    Traffic(Some(Arc::new(Locks::open(folder, master).unwrap())))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

#[tokio::test(start_paused = true)]
async fn one_publish_at_a_time_per_master() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let held = one.turn(soon()).await.unwrap();
    assert_eq!(two.turn(soon()).await.unwrap_err(), NotInTime);
    assert!(traffic(folder.path(), 2).turn(soon()).await.is_ok());
    drop(held);
    assert!(two.turn(soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_runner_at_a_time_beside_small_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let held = one.runner_turn(soon()).await.unwrap();
    assert_eq!(two.runner_turn(soon()).await.unwrap_err(), NotInTime);
    assert!(two.pass(soon()).await.is_held());
    drop(held);
    assert!(two.runner_turn(soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn sign_ins_go_one_after_the_other_but_do_not_queue_for_one_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let later = Instant::now() + Duration::from_secs(60);
    let held = one.sign_in_turn(later).await;
    assert!(held.is_held());
    let start = Instant::now();
    assert!(!two.sign_in_turn(later).await.is_held());
    assert!((SIGN_IN..SIGN_IN * 2).contains(&start.elapsed()));
    assert!(!two.sign_in_turn(soon()).await.is_held());
    assert!(start.elapsed() < SIGN_IN * 2);
    assert!(two.pass(soon()).await.is_held());
    drop(held);
    assert!(two.sign_in_turn(later).await.is_held());
}

#[tokio::test(start_paused = true)]
async fn small_requests_share_the_road_and_a_publish_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, three) = (
        traffic(folder.path(), 1),
        traffic(folder.path(), 1),
        traffic(folder.path(), 1),
    );
    let (pass, other) = (one.pass(soon()).await, two.pass(soon()).await);
    assert!(pass.is_held() && other.is_held());
    assert_eq!(three.turn(soon()).await.unwrap_err(), NotInTime);
    drop((pass, other));
    assert!(three.turn(soon()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_publish_lets_no_new_request_pass_it() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two, three) = (
        traffic(folder.path(), 1),
        traffic(folder.path(), 1),
        traffic(folder.path(), 1),
    );
    let pass = one.pass(soon()).await;
    let later = Instant::now() + Duration::from_secs(60);
    let waiting = tokio::spawn(async move { two.turn(later).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopped = tokio::time::timeout(Duration::from_millis(500), three.pass(later)).await;
    assert!(stopped.is_err());
    drop(pass);
    assert!(waiting.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_small_request_that_waits_comes_before_all_publishes_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    let held = traffic(folder.path(), 1).turn(later).await.unwrap();
    let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..5 {
        let (traffic, told) = (traffic(folder.path(), 1), told.clone());
        tokio::spawn(async move {
            let _turn = traffic.turn(later).await.unwrap();
            told.send("publish").unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let small = traffic(folder.path(), 1);
    tokio::spawn(async move {
        let _pass = small.pass(later).await;
        told.send("small").unwrap();
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(held);
    let mut seen = Vec::new();
    while let Some(who) = order.recv().await {
        seen.push(who);
    }
    assert_eq!(seen.first(), Some(&"small"), "{seen:?}");
    assert_eq!(seen.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_goes_first_comes_before_all_publishes_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    let held = traffic(folder.path(), 1).turn(later).await.unwrap();
    let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
    for who in ["publish", "publish", "first", "publish"] {
        let (traffic, told) = (traffic(folder.path(), 1), told.clone());
        tokio::spawn(async move {
            let _turn = if who == "first" {
                let first = traffic.go_first(later).await;
                traffic.first_turn(&first, later).await.unwrap()
            } else {
                traffic.turn(later).await.unwrap()
            };
            told.send(who).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        });
    }
    drop(told);
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(held);
    let mut seen = Vec::new();
    while let Some(who) = order.recv().await {
        seen.push(who);
    }
    assert_eq!(seen.first(), Some(&"first"), "{seen:?}");
    assert_eq!(seen.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_for_who_goes_first_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let later = Instant::now() + Duration::from_secs(60);
    let first = one.go_first(later).await;
    let start = Instant::now();
    assert!(two.pass(later).await.is_held());
    assert!(start.elapsed() < AFTER_FIRST);
    drop(two.turn(later).await.unwrap());
    assert!((AFTER_FIRST..AFTER_FIRST * 2).contains(&start.elapsed()));
    drop(first);
    let start = Instant::now();
    drop(two.turn(later).await.unwrap());
    assert!(start.elapsed() < AFTER_FIRST);
}

#[tokio::test(start_paused = true)]
async fn several_go_first_though_others_look_whether_anybody_does() {
    let folder = tempfile::tempdir().unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let looks = one.0.as_ref().unwrap().first.alone(later).await;
    let waits = tokio::spawn(async move { two.go_first(later).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waits.is_finished());
    drop(looks);
    assert!(waits.await.unwrap().is_held());
    let (three, four) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    assert!(three.go_first(later).await.is_held() && four.go_first(later).await.is_held());
}

#[tokio::test]
async fn a_small_request_waits_for_a_publish_but_not_for_a_stuck_one() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let turn = one.turn(soon()).await.unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    // Between the reply and the return, however long that takes.
    assert!(tokio::time::timeout(STUCK * 2, two.pass(later)).await.is_err());
    turn.begin();
    let start = Instant::now();
    assert!(!two.pass(later).await.is_held());
    assert!(start.elapsed() >= STUCK);
}

#[tokio::test]
async fn a_publish_that_was_left_behind_is_waited_for_and_an_answered_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let later = || Instant::now() + Duration::from_secs(60);
    let (one, two) = (traffic(folder.path(), 1), traffic(folder.path(), 1));
    let turn = one.turn(later()).await.unwrap();
    turn.begin();
    turn.end();
    drop(turn);
    let age = || two.0.as_ref().unwrap().publish_age();
    assert_eq!(age(), None);
    let turn = one.turn(later()).await.unwrap();
    turn.begin();
    drop(turn);
    assert!(age().is_some());
    drop(two.turn(later()).await.unwrap());
    assert!(age().unwrap() >= STUCK);
}
