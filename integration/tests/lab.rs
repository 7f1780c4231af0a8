//! scratch
use integration::*;
#[test]
fn scratch() {
    let version = std::env::var("V").unwrap_or("3008".into()).parse().unwrap();
    let t = std::time::Instant::now();
    let p = Progress::new(move |l| eprintln!("{:.2} {l}", t.elapsed().as_secs_f32()));
    let lab = Lab::builder()
        .version(version)
        .worker_threads(3)
        .progress(p)
        .build()
        .unwrap();
    eprintln!("{:.2} up", t.elapsed().as_secs_f32());
    for h in ["salt1", "minion01"] {
        for p in lab.daemon(h).unwrap().processes().unwrap() {
            eprintln!("{p:?}");
        }
        eprintln!(
            "{:?}\n{}",
            lab.daemon(h).unwrap().cpu_time(),
            lab.daemon(h).unwrap().log_tail()
        );
    }
    let o = lab.salt_cli("salt1", &["*", "test.ping"]).output().unwrap();
    eprintln!("{:.2} {o:?}", t.elapsed().as_secs_f32());
    let o = lab.salt_key("salt1", &["-L"]).output().unwrap();
    eprintln!("{:.2} {o:?}", t.elapsed().as_secs_f32());
    lab.move_minion("minion01", "salt2").unwrap();
    eprintln!("{:.2} moved", t.elapsed().as_secs_f32());
    eprintln!("{:?}", lab.netem("salt1", "delay 10ms"));
    drop(lab);
    eprintln!("{:.2} down", t.elapsed().as_secs_f32());
}
