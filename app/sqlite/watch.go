package sqlite

import (
	"context"
	"time"
)

// Watch calls changed when another process, such as an import, has written to the file, until ctx ends. It looks every interval.
func (db *DB) Watch(ctx context.Context, interval time.Duration, changed func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var last int64
	for {
		// On the one writing connection the number moves with the commits of every other connection, and none of this process's
		// others commits.
		var version int64
		if err := db.Write.QueryRowContext(ctx, `PRAGMA data_version`).Scan(&version); err == nil {
			if last != 0 && version != last {
				changed()
			}
			last = version
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
