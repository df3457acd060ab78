//! What happens in the demo, in order. Everything it starts ends with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::admin::{Admin, Status};
use crate::board::{self, Board, millis};
use crate::children::{self, Program};
use crate::decisions;
use crate::latency::{self, Added};
use crate::shop;
use crate::stage::Stage;
use crate::tally::{Counts, Kind, Tally};
use crate::traffic::Crowd;

/// What the demo runs with.
#[derive(Debug, Clone)]
pub(crate) struct Props {
    pub(crate) config: PathBuf,
    pub(crate) bundle: PathBuf,
    pub(crate) weir: Option<PathBuf>,
    pub(crate) weir_train: Option<PathBuf>,
}

const EXPLAINED: usize = 5;
/// A swap that takes longer has not happened.
const SWAP_LIMIT: Duration = Duration::from_secs(10);

/// The fields are dropped in order: first the programs, then the folder they write to.
struct Show {
    board: Board,
    weir: Program,
    trainer: Option<Program>,
    admin: Admin,
    tally: Arc<Tally>,
    crowd: Option<Crowd>,
    shop: SocketAddr,
    stage: Stage,
    props: Props,
}

/// Facts for the summary that the tally does not hold.
struct Told {
    scans: [Counts; 2],
    swaps: Vec<(&'static str, String)>,
    latency: Added,
}

pub(crate) async fn run(props: Props) -> Result<()> {
    let mut show = Show::open(props).await?;
    let mut told = Told {
        scans: [Counts::default(); 2],
        swaps: Vec::new(),
        latency: Added {
            pairs: 0,
            direct: (0, 0),
            through: (0, 0),
        },
    };
    show.play(&mut told).await?;
    show.summary(&told)?;
    drop(show);
    board::print(
        "Nothing is left running. README.md says how to put Weir in front of your own application.\n",
    );
    Ok(())
}

impl Show {
    async fn open(props: Props) -> Result<Self> {
        let mut board = Board::new();
        let program = children::find("weir", props.weir.as_deref())?;
        let shop = shop::on_own_thread(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .context("the shop did not start")?;
        let stage = Stage::set(&props.config, &props.bundle, shop)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(stage.config());
        let mut weir = Program::start("weir run", command, stage.log("weir"))?;
        let admin = Admin::new(stage.admin);
        admin.ready(&mut weir).await?;
        board.say(&format!(
            "\nThe shop \"Brook & Bank\" listens on http://{shop}, Weir stands in front of it on http://{}.\n\
             Weir enforces with the model it ships with, which never saw this shop.",
            stage.weir
        ));
        let tally = Arc::new(Tally::default());
        Ok(Self {
            board,
            weir,
            trainer: None,
            admin,
            tally,
            crowd: None,
            shop,
            stage,
            props,
        })
    }

    async fn play(&mut self, told: &mut Told) -> Result<()> {
        self.crowd = Some(Crowd::let_in(self.stage.weir, Arc::clone(&self.tally)));
        self.watch("customers shop, attackers try their luck", 5)
            .await?;
        told.scans[0] = self.scan("a scanner walks through the shop", 1).await?;
        self.watch("customers shop, attackers try their luck", 5)
            .await?;
        self.explain().await?;
        told.swaps.push(self.change_budgets().await?);
        self.watch("more traffic is captured: the site's own normal", 8)
            .await?;
        told.swaps.push(self.train_and_swap().await?);
        told.scans[1] = self
            .scan("the scanner comes back, from another address", 2)
            .await?;
        self.watch("the new model serves", 5).await?;
        if let Some(crowd) = self.crowd.take() {
            crowd.go_home().await;
        }
        self.board.doing = "the crowd has gone home".to_owned();
        self.board.finish(&self.tally);
        told.latency = latency::measure(self.shop, self.stage.weir).await?;
        Ok(())
    }

    /// Lets time pass, with the table alive.
    async fn watch(&mut self, doing: &str, seconds: u64) -> Result<()> {
        self.board.doing = doing.to_owned();
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            self.tick().await?;
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<()> {
        self.weir.must_run()?;
        if self.board.due() {
            let status = self.admin.status().await?;
            self.board.running = running(&status);
            self.board.draw(&self.tally);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(())
    }

    async fn scan(&mut self, doing: &str, host: u8) -> Result<Counts> {
        self.board.doing = doing.to_owned();
        let before = self.tally.of(Kind::Scanner);
        let Some(crowd) = self.crowd.take() else {
            bail!("nobody is there to scan")
        };
        let scanned = {
            let scan = crowd.scan(host);
            tokio::pin!(scan);
            loop {
                tokio::select! {
                    () = &mut scan => break Ok(()),
                    ticked = self.tick() => if let Err(error) = ticked { break Err(error) },
                }
            }
        };
        self.crowd = Some(crowd);
        scanned.map(|()| self.tally.of(Kind::Scanner).minus(before))
    }

    async fn explain(&mut self) -> Result<()> {
        let mut chosen: Vec<(Kind, String)> = Vec::new();
        // One of each kind first, then whatever else was blocked.
        for round in 0..EXPLAINED {
            for kind in Kind::MIXED {
                if let Some(id) = self.tally.blocked_ids(kind).into_iter().nth(round)
                    && chosen.len() < EXPLAINED
                {
                    chosen.push((kind, id));
                }
            }
        }
        if chosen.is_empty() {
            bail!(
                "Weir blocked no attack at all. Its last words:\n{}",
                self.weir.last_words()
            );
        }
        let mut text = format!(
            "\nWhy were these {} requests blocked? From Weir's decision records:\n",
            chosen.len()
        );
        for (kind, id) in chosen {
            let record = decisions::find(&self.stage.decisions(), &id).await?;
            text.push_str(&format!("\n{}", decisions::in_words(kind.name(), &record)));
        }
        self.board.say(&text);
        Ok(())
    }

    /// Looser flags, in the middle of the traffic.
    async fn change_budgets(&mut self) -> Result<(&'static str, String)> {
        let (before, sent) = (self.admin.status().await?, self.tally.all());
        let answer = self.admin.set_budgets("1/100", "1/1000").await?;
        self.watch("the flag budget is 1/100 now", 3).await?;
        let (after, told) = (self.admin.status().await?, self.tally.all().minus(sent));
        let line = format!(
            "flag {} -> {}, generation {} -> {}, {} requests meanwhile, {} failed",
            old_flag(&answer),
            "1/100",
            before.generation,
            after.generation,
            told.sent,
            told.failed
        );
        self.board
            .say(&format!("\nNew budgets while traffic ran: {line}"));
        Ok(("new budgets", line))
    }

    async fn train_and_swap(&mut self) -> Result<(&'static str, String)> {
        let (before, sent) = (self.admin.status().await?, self.tally.all());
        let program = children::find("weir-train", self.props.weir_train.as_deref())?;
        let mut command = Command::new(program);
        command
            .args(["fit", "--detectors", "request", "--base"])
            .arg(&self.props.bundle);
        command
            .arg("--normal")
            .args(self.stage.captured()?)
            .arg("--out")
            .arg(self.stage.bundle());
        let started = Instant::now();
        self.trainer = Some(Program::start(
            "weir-train fit",
            command,
            self.stage.log("weir-train"),
        )?);
        self.board.doing =
            "weir-train fits the request detector to the captured traffic".to_owned();
        while self.still_training()? {
            self.tick().await?;
        }
        let trained = started.elapsed();
        if let Some(mut trainer) = self.trainer.take() {
            trainer.finish().await?;
        }
        let after = self.wait_for_swap(&before).await?;
        let told = self.tally.all().minus(sent);
        let line = format!(
            "{} -> {} (detectors: {}), generation {} -> {}, trained in {:.1} s, {} requests meanwhile, {} failed",
            short(&before.bundle),
            short(&after.bundle),
            after.detectors.join(" and "),
            before.generation,
            after.generation,
            trained.as_secs_f64(),
            told.sent,
            told.failed
        );
        self.board
            .say(&format!("\nNew model while traffic ran: {line}"));
        Ok(("new model", line))
    }

    fn still_training(&mut self) -> Result<bool> {
        match &mut self.trainer {
            Some(trainer) => Ok(trainer.ended()?.is_none()),
            None => Ok(false),
        }
    }

    /// Weir watches the model's folder; should the watch be slow, ask once, as an operator would.
    async fn wait_for_swap(&mut self, before: &Status) -> Result<Status> {
        let started = Instant::now();
        let mut asked = false;
        loop {
            let status = self.admin.status().await?;
            if status.bundle != before.bundle {
                return Ok(status);
            }
            if !asked && started.elapsed() > SWAP_LIMIT / 2 {
                asked = true;
                self.admin.reload().await?;
            }
            if started.elapsed() > SWAP_LIMIT {
                bail!(
                    "the new model was not taken over. Weir's last words:\n{}",
                    self.weir.last_words()
                );
            }
            self.tick().await?;
        }
    }

    fn summary(&mut self, told: &Told) -> Result<()> {
        let (all, attacks, customers) = (
            self.tally.all(),
            self.tally.attacks(),
            self.tally.of(Kind::Customer),
        );
        let scanner = self.tally.of(Kind::Scanner);
        let aimed = attacks.minus(scanner);
        let mut rows = vec![
            (
                "requests",
                format!(
                    "{}: {} by customers, {} attacks, {} scanner probes",
                    all.sent, customers.sent, aimed.sent, scanner.sent
                ),
            ),
            (
                "blocked attacks",
                format!(
                    "{} of {} ({})",
                    aimed.blocked,
                    aimed.sent,
                    share(aimed.blocked, aimed.sent)
                ),
            ),
            (
                "missed attacks",
                format!(
                    "{}, {} of them flagged for the shop",
                    aimed.sent - aimed.blocked - aimed.failed,
                    aimed.flagged
                ),
            ),
            (
                "false positives",
                format!(
                    "{} of {} customer requests blocked ({}), {} more flagged",
                    customers.blocked,
                    customers.sent,
                    share(customers.blocked, customers.sent),
                    customers.flagged
                ),
            ),
        ];
        for (name, scan) in ["scanner, 1st model", "scanner, 2nd model"]
            .into_iter()
            .zip(told.scans)
        {
            rows.push((
                name,
                format!(
                    "{} of {} probes blocked, {} flagged",
                    scan.blocked, scan.sent, scan.flagged
                ),
            ));
        }
        rows.extend(told.swaps.iter().cloned());
        rows.extend(latency_rows(&told.latency));
        rows.push(("failed requests", all.failed.to_string()));
        if all.uninspected > 0 {
            rows.push((
                "not inspected",
                format!(
                    "{}: inspection failed, and this route fails open",
                    all.uninspected
                ),
            ));
        }
        let lines: String = rows
            .iter()
            .map(|(name, text)| format!("  {name:<20}{text}\n"))
            .collect();
        self.board.say(&format!("\nSummary\n{lines}"));
        for why in self.tally.failures() {
            self.board.say(&format!("  failed: {why}"));
        }
        if all.failed > 0 {
            bail!("{} requests failed; no swap may cost a request", all.failed);
        }
        if aimed.blocked == 0 {
            bail!("no attack was blocked");
        }
        Ok(())
    }
}

fn latency_rows(latency: &Added) -> [(&'static str, String); 2] {
    let (direct, through) = (latency.direct, latency.through);
    let more = |through: u32, direct: u32| millis(through.saturating_sub(direct));
    [
        (
            "added latency",
            format!(
                "p50 {}, p99 {}",
                more(through.0, direct.0),
                more(through.1, direct.1)
            ),
        ),
        (
            "",
            format!(
                "({} requests each way, in turn: direct {} / {}, through Weir {} / {})",
                latency.pairs,
                millis(direct.0),
                millis(direct.1),
                millis(through.0),
                millis(through.1)
            ),
        ),
    ]
}

fn running(status: &Status) -> String {
    format!(
        "generation {}, model {}",
        status.generation,
        short(&status.bundle)
    )
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.2}%", part as f64 * 100.0 / whole.max(1) as f64)
}

fn old_flag(answer: &Value) -> String {
    answer.pointer("/routes/0/old/flag").map_or_else(
        || "?".to_owned(),
        |flag| {
            flag.as_str()
                .map_or_else(|| flag.to_string(), str::to_owned)
        },
    )
}
