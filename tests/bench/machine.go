package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What is measured runs alone on the first processor. Everything else, this program, the databases and all that they start, is kept on the
// others, so that the load takes nothing from what it loads.
var (
	processors = count(allowed())
	measured   = nth(0)
)

const movedOver = "SIGLAB_BENCH_MOVED"

func allowed() (s unix.CPUSet) {
	_ = unix.SchedGetaffinity(0, &s) // of this thread; it does not fail
	return s
}

func count(s unix.CPUSet) int { return s.Count() }

// nth returns a set of the n-th processor that this program may use, the one that it has left once it moved over.
func nth(n int) (s unix.CPUSet) {
	if text := os.Getenv(movedOver); text != "" {
		cpu, _ := strconv.Atoi(text)
		s.Set(cpu)
		return s
	}
	all := allowed()
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			if n--; n < 0 {
				s.Set(cpu)
				return s
			}
		}
	}
	return s
}

// keepOffTheServicesProcessor starts this program anew on the other processors; a process can move only its threads one by one.
func keepOffTheServicesProcessor() error {
	if os.Getenv(movedOver) != "" {
		processors++ // with the one that was left
		return nil
	}
	if processors < 2 {
		return errors.New("one processor is not enough: what is measured wants one of its own")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	others, first := allowed(), 0
	for !measured.IsSet(first) {
		first++
	}
	others.Clear(first)
	if err := unix.SchedSetaffinity(0, &others); err != nil {
		return fmt.Errorf("leaving a processor to the service: %w", err)
	}
	return syscall.Exec(self, os.Args, append(os.Environ(), movedOver+"="+strconv.Itoa(first)))
}

// startMeasured starts a command on the processor that is kept for it. A child is born where the thread is that makes it.
func startMeasured(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := allowed()
	if err := unix.SchedSetaffinity(0, &measured); err != nil {
		return err
	}
	err := cmd.Start()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// cpuOf returns the processor time that a process has used, in user space and in the kernel. It counts in hundredths of a second.
func cpuOf(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// residentOf returns a process's resident memory and its highest value so far or since highFrom, in bytes.
func residentOf(pid int) (now, high int64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			now = kib << 10
		case "VmHWM":
			high = kib << 10
		}
	}
	return now, high
}

// highFrom makes the process's highest memory count from now on.
func highFrom(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
