package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Check gets a URL and returns nil if it answers 2xx within five seconds. The image's own probe needs no shell and no curl for it.
func Check(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 2000)) // what it says, if it says anything
		return fmt.Errorf("%s answers %s: %s", url, res.Status, body)
	}
	return nil
}
