package cache

import (
	"context"
	"time"
)

// housekeepingPeriod is how often the small periodic work is done.
const housekeepingPeriod = time.Second

// housekeeper does the periodic work that concerns no entries: leases that nobody asks
// for any more, empty namespaces, statistics. (The reaper does what concerns entries.)
type housekeeper struct {
	kicked chan struct{} // buffered 1: do it now
}

func (h *housekeeper) kick() {
	select {
	case h.kicked <- struct{}{}:
	default:
	}
}

func (h *housekeeper) run(ctx context.Context, c *Cache) {
	ticker := time.NewTicker(housekeepingPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.kicked:
		case <-ticker.C:
		}
		c.tidyLeases()
		c.fadeHotKeys()
		c.dropEmptyNamespaces(ctx)
		c.sampleHistory(ctx)
	}
}
