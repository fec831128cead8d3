package mongo_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
	"time"

	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"siglab/app/mantenimientos"
	"siglab/app/mongo"
	"siglab/app/storetest"
)

func serverURI(t testing.TB) string {
	t.Helper()
	uri := os.Getenv("TEST_MONGO_URI")
	if uri == "" {
		if os.Getenv("TEST_SERVERS") == "required" {
			t.Fatal("TEST_MONGO_URI names no server")
		}
		t.Skip("TEST_MONGO_URI names no server")
	}
	return uri
}

// open returns a database of the test's own and the driver's view of it.
func open(t testing.TB, h mongo.Hooks) (*mongo.DB, *driver.Database) {
	t.Helper()
	var b [8]byte
	_, _ = rand.Read(b[:])
	name := "test_" + hex.EncodeToString(b[:])
	db, err := mongo.Open(mongo.Config{URI: serverURI(t), Database: name, Timeout: 20 * time.Second}, h)
	if err != nil {
		t.Fatal(err)
	}
	client, err := driver.Connect(options.Client().ApplyURI(serverURI(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := client.Database(name).Drop(ctx); err != nil {
			t.Error(err)
		}
		if err := client.Disconnect(ctx); err != nil {
			t.Error(err)
		}
		if err := db.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return db, client.Database(name)
}

func TestMantenimientos(t *testing.T) {
	storetest.Mantenimientos(t, func(t *testing.T, now func() time.Time) mantenimientos.Store {
		db, _ := open(t, mongo.Hooks{})
		if _, err := db.Migrate(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		return mongo.NewMantenimientos(db, nil, now)
	})
}
