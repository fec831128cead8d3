package maquinas

import (
	"context"
	"time"

	"siglab/app/idempotency"
)

const (
	lease  = 30 * time.Second // how long a replica has for the deletions it claimed
	batch  = 20               // deletions claimed at once
	retry  = 5 * time.Second  // between two tries of a sweep that failed
	purged = 1000             // idempotency keys forgotten at once
)

// sweep removes what the other database holds of a deleted machine. The first sweep after the grace period is the last one: a
// request that had found the machine before it was deleted can have added a record until then.
func (s *Service) sweep(ctx context.Context, d Deletion) {
	_, err := s.Records.DeleteOfMaquina(ctx, d.MaquinaID)
	now := s.Now()
	last := d.At.Add(s.Grace)
	switch {
	case err != nil:
		s.Report(ctx, "the records of a deleted machine remain for now", err)
		err = s.Outbox.PostponeDeletion(ctx, d.MaquinaID, now.Add(retry), false)
	case now.Before(last):
		err = s.Outbox.PostponeDeletion(ctx, d.MaquinaID, last, true)
	default:
		err = s.Outbox.FinishDeletion(ctx, d.MaquinaID)
	}
	if err != nil { // its lease ends by itself, and another sweep does no harm
		s.Report(ctx, "the outbox did not take the outcome of a sweep", err)
	}
}

// Reconcile finishes deletions until ctx ends, every interval or sooner while there are more. backlog is told the outbox's state
// after each round. Every replica runs it.
func (s *Service) Reconcile(ctx context.Context, interval time.Duration, backlog func(Backlog)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var forgotten time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for ctx.Err() == nil {
			due, err := s.Outbox.ClaimDeletions(ctx, s.Now(), lease, batch)
			if err != nil {
				s.Report(ctx, "the outbox cannot be read", err)
			}
			for _, d := range due {
				s.sweep(ctx, d)
			}
			if len(due) < batch {
				break
			}
		}
		if b, err := s.Outbox.Backlog(ctx); err == nil {
			backlog(b)
		}
		if now := s.Now(); now.Sub(forgotten) > time.Minute {
			if n, err := s.Outbox.ForgetKeys(ctx, now.Add(-idempotency.Life), purged); err == nil && n < purged {
				forgotten = now
			}
		}
	}
}
