//! One device that comes and goes.

use std::rc::Rc;
use std::time::Duration;

use godwit_link::Ticket;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::Stage;
use super::feeder::Feeder;
use crate::conn::Conn;
use crate::device;

pub(super) struct Device {
    device: device::Device,
    /// Who writes to it while it is away; nobody writes to most.
    feeder: Option<Feeder>,
    patience: Duration,
    stage: Rc<Stage>,
}

impl Device {
    pub(super) fn new(
        device: device::Device,
        feeder: Option<Feeder>,
        patience: Duration,
        stage: Rc<Stage>,
    ) -> Self {
        Self { device, feeder, patience, stage }
    }

    /// Stays, with signs of life, and goes and comes back each time it is told to, until nobody tells.
    /// `part` is the part of the interval before the first sign of life.
    pub(super) async fn run(self, conn: Conn, mut told: mpsc::Receiver<()>, part: f64) {
        let gap = Duration::from_secs(conn.welcome.keepalive_s.max(1).into());
        let mut due = Instant::now() + gap.mul_f64(part);
        let mut ticket = Ticket::from_welcome(&conn.welcome.ticket).ok();
        let mut present = Some(conn);
        loop {
            let order = match &mut present {
                Some(conn) => tokio::select! {
                    Err(_) = conn.keep(due, gap) => {
                        self.stage.broken.set(self.stage.broken.get() + 1);
                        present = None;
                        continue;
                    }
                    order = told.recv() => order,
                },
                None => told.recv().await,
            };
            if order.is_none() {
                return;
            }
            if let Some(conn) = present.take() {
                let _ = conn.hang_up(); // what it cannot set, it ends without
            }
            present = self.log_in(&mut ticket).await;
            due = Instant::now() + gap;
        }
    }

    /// Away, and back again; none if that fails.
    async fn log_in(&self, ticket: &mut Option<Ticket>) -> Option<Conn> {
        let expected = match &self.feeder {
            Some(feeder) => u64::from(feeder.write_to(self.device.account).await),
            None => 0,
        };
        let (began, stage, mut found) = (Instant::now(), &self.stage, 0);
        let attempt = stage.redial.attempt(&self.device, ticket, |_| found += 1);
        let conn = match timeout(self.patience, attempt).await {
            Ok(Ok(conn)) => Some(conn),
            Ok(Err(error)) => {
                stage.redial.judge(&error);
                None
            }
            Err(_late) => None,
        };
        if conn.is_none() || found != expected {
            stage.failed.set(stage.failed.get() + 1);
            return conn;
        }
        let (count, place) = match expected {
            0 => (&stage.empty, 0),
            _ => (&stage.with_mail, 1),
        };
        count.set(count.get() + 1);
        if let Some(latencies) = stage.latencies.borrow_mut().get_mut(place) {
            latencies.record(began.elapsed());
        }
        conn
    }
}
