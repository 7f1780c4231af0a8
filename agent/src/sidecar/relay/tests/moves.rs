//! Requests whose master dies, moves, or is not there yet.

use super::*;

#[tokio::test]
async fn a_request_is_held_until_there_is_a_route_and_the_master_is_known() {
    let rig = rig_within(&Bounds::USUAL).await;
    rig.masters[1].genuine_at.send_replace(None);
    let mut client = rig.requester().await;
    client.send(b"patience".to_vec(), late()).await.unwrap();
    eventually("held", || rig.relay.seen().carried.held == 1).await;
    rig.relay.route(Some(B), Manner::Abandon);
    assert!(rig.masters[1].is_left_alone().await);
    let seen = rig.relay.seen();
    assert_eq!((seen.carried.held, seen.route.master), (1, Some(B)));

    let address = rig.masters[1].listener.local_addr().unwrap();
    rig.masters[1].genuine_at.send_replace(Some(address));
    let mut master = rig.masters[1].connection().await;
    assert_eq!(asked(&mut master).await, b"patience");
    assert_eq!(rig.relay.seen().carried.held, 0);
    reply(&mut master, b"rewarded").await;
    assert_eq!(answer(&mut client).await, b"rewarded");
    assert_eq!(rig.relay.seen().carried.resent, 0);
}

#[tokio::test]
async fn what_an_abandoned_master_owes_is_sent_unchanged_to_the_next_one_at_once() {
    let rig = rig().await;
    let payload: Vec<u8> = (0..100_000_u32).map(|byte| byte.to_be_bytes()[3]).collect();
    let mut client = rig.requester().await;
    client.send(payload.clone(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    assert_eq!(asked(&mut old).await, payload);

    rig.relay.route(Some(B), Manner::Abandon);
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, payload);
    closes(&mut old).await;
    assert_eq!((rig.relay.under_way_at(A), rig.relay.under_way_at(B)), (0, 1));
    reply(&mut new, b"bad load").await;
    assert_eq!(answer(&mut client).await, b"bad load");
    let seen = rig.relay.seen().carried;
    assert_eq!((seen.resent, seen.repeated, seen.answered), (1, 0, 1));
    assert!(rig.masters[0].is_left_alone().await);
}

#[tokio::test]
async fn idle_connections_to_an_abandoned_master_are_closed() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"one".to_vec(), late()).await.unwrap();
    let mut master = rig.masters[0].connection().await;
    asked(&mut master).await;
    reply(&mut master, b"first").await;
    answer(&mut client).await;
    rig.relay.route(Some(B), Manner::Abandon);
    closes(&mut master).await;
}

#[tokio::test]
async fn in_a_planned_move_the_old_master_still_answers_and_the_new_one_is_asked() {
    let rig = rig().await;
    let mut clients = [rig.requester().await, rig.requester().await];
    clients[0].send(b"old".to_vec(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    asked(&mut old).await;

    rig.relay.route(Some(B), Manner::Finish);
    clients[1].send(b"new".to_vec(), late()).await.unwrap();
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, b"new");
    assert_eq!((rig.relay.under_way_at(A), rig.relay.under_way_at(B)), (1, 1));
    reply(&mut new, b"from the new").await;
    assert_eq!(answer(&mut clients[1]).await, b"from the new");
    reply(&mut old, b"from the old").await;
    assert_eq!(answer(&mut clients[0]).await, b"from the old");
    assert_eq!(rig.relay.seen().carried.resent, 0);
}

#[tokio::test]
async fn what_still_finishes_is_moved_when_its_master_is_abandoned_after_all() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    asked(&mut old).await;
    rig.relay.route(Some(B), Manner::Finish);
    rig.relay.route(Some(B), Manner::Abandon);
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, b"x");
    closes(&mut old).await;
}

#[tokio::test]
async fn a_request_whose_connection_breaks_is_repeated_and_no_more_often() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"again".to_vec(), late()).await.unwrap();
    for _ in 0..3 {
        let mut master = rig.masters[0].connection().await;
        assert_eq!(asked(&mut master).await, b"again");
        drop(master);
    }
    let mut master = rig.masters[0].connection().await;
    assert_eq!(asked(&mut master).await, b"again");
    reply(&mut master, b"at last").await;
    assert_eq!(answer(&mut client).await, b"at last");
    let seen = rig.relay.seen().carried;
    assert_eq!((seen.repeated, seen.resent), (3, 0));
    assert!(rig.masters[0].is_left_alone().await);
}

#[tokio::test]
async fn a_connection_that_broke_while_it_was_idle_costs_no_request() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    for round in 0..3 {
        client.send(b"x".to_vec(), late()).await.unwrap();
        let mut master = rig.masters[0].connection().await;
        assert_eq!(asked(&mut master).await, b"x", "round {round}");
        reply(&mut master, b"y").await;
        assert_eq!(answer(&mut client).await, b"y");
        assert_eq!(rig.relay.upstream.idle_at(A), 1);
    }
    let seen = rig.relay.seen().carried;
    assert_eq!((seen.answered, seen.repeated), (3, 0));
}

#[tokio::test]
async fn a_request_that_an_old_connection_swallows_goes_over_a_new_one() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    asked(&mut old).await;
    reply(&mut old, b"y").await;
    answer(&mut client).await;
    client.send(b"z".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut old).await, b"z");
    drop(old);
    let mut new = rig.masters[0].connection().await;
    assert_eq!(asked(&mut new).await, b"z");
    reply(&mut new, b"y").await;
    assert_eq!(answer(&mut client).await, b"y");
    assert_eq!(rig.relay.seen().carried.repeated, 1);
}

#[tokio::test]
async fn requests_are_carried_when_their_master_can_be_reached_again() {
    let mut rig = rig().await;
    let address = rig.masters[0].listener.local_addr().unwrap();
    let gone = rig.masters.remove(0);
    let (listener, genuine_at) = (gone.listener, gone.genuine_at);
    drop(listener);
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    eventually("held", || rig.relay.seen().carried.held == 1).await;
    let back = Master {
        listener: TcpListener::bind(address).await.unwrap(),
        genuine_at,
    };
    let mut master = back.connection().await;
    assert_eq!(asked(&mut master).await, b"x");
    reply(&mut master, b"y").await;
    assert_eq!(answer(&mut client).await, b"y");
}

#[tokio::test]
async fn a_master_that_is_kept_warm_has_an_idle_connection_and_a_new_one_when_it_breaks() {
    let rig = rig().await;
    rig.relay.warm(&[B]);
    for _ in 0..2 {
        let master = rig.masters[1].connection().await;
        eventually("kept", || rig.relay.upstream.idle_at(B) == 1).await;
        drop(master);
    }
    let mut master = rig.masters[1].connection().await;
    eventually("kept", || rig.relay.upstream.idle_at(B) == 1).await;
    let mut client = rig.requester().await;
    rig.relay.route(Some(B), Manner::Abandon);
    client.send(b"x".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut master).await, b"x");
    assert_eq!(rig.relay.seen().carried.repeated, 0);
}

#[tokio::test]
async fn a_master_that_has_moved_is_asked_where_it_is_now() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut before = rig.masters[0].connection().await;
    asked(&mut before).await;
    reply(&mut before, b"y").await;
    answer(&mut client).await;
    let moved = Master::start().await;
    let address = moved.listener.local_addr().unwrap();
    rig.masters[0].genuine_at.send_replace(Some(address));
    client.send(b"z".to_vec(), late()).await.unwrap();
    assert_eq!(asked(&mut moved.connection().await).await, b"z");
    closes(&mut before).await;
}

#[tokio::test]
async fn what_a_master_owes_that_is_no_more_waits_for_the_next_election() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    client.send(b"x".to_vec(), late()).await.unwrap();
    let mut old = rig.masters[0].connection().await;
    asked(&mut old).await;
    rig.relay.replace(A, None);
    closes(&mut old).await;
    eventually("held", || rig.relay.seen().carried.held == 1).await;
    assert_eq!(rig.relay.seen().route.master, None);
    rig.relay.route(Some(B), Manner::Finish);
    let mut new = rig.masters[1].connection().await;
    assert_eq!(asked(&mut new).await, b"x");
    reply(&mut new, b"from the other").await;
    assert_eq!(answer(&mut client).await, b"from the other");
}

#[tokio::test]
async fn a_place_that_is_free_takes_another_master_while_minions_stay_connected() {
    let rig = rig().await;
    let mut client = rig.requester().await;
    let free = MasterIndex(rig.relay.places() - 1);
    rig.relay.warm(&[A, B, free]);
    for round in 0..3_u8 {
        let master = Master::start().await;
        rig.relay.replace(free, Some(master.way()));
        rig.relay.route(Some(free), Manner::Finish);
        client.send(vec![round], late()).await.unwrap();
        let mut connection = master.connection().await;
        assert_eq!(asked(&mut connection).await, [round]);
        reply(&mut connection, b"here").await;
        assert_eq!(answer(&mut client).await, b"here");
        rig.relay.replace(free, None);
        closes(&mut connection).await;
    }
}
