package redis_test

import (
	"testing"

	"go.uber.org/goleak"

	"siglab/app/redis"
)

func TestMain(m *testing.M) {
	redis.RouteLogs(func(string) {}) // what it says of the failures that the tests make
	goleak.VerifyTestMain(m)
}
