"""Ctrl-C and kill: the file that was begun is removed, and the exit code says what happened."""
import os
import signal
import subprocess
import time

from program import TINY, UTTER, ProgramTest, main, needs_espeak


def default_signals():
    """A test run in the background may have inherited ignored ones."""
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, signal.SIG_DFL)


def ignored_hangup():
    default_signals()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@needs_espeak
class Signals(ProgramTest):
    def start(self, *args, preexec_fn=default_signals, **more):
        """Begins to speak a megabyte of text, which takes far longer than the test."""
        text = self.put("text.txt", b"One two three four five six seven eight nine ten. " * 20000)
        process = subprocess.Popen([UTTER, "speak", "-m", TINY, "--cpu", "scalar", "-f", text, *args],
                                   cwd=self.folder, stderr=subprocess.PIPE, preexec_fn=preexec_fn, **more)
        self.addCleanup(process.kill)
        return process

    def wait_for_sound(self):
        """Until the temporary file has some."""
        deadline = time.monotonic() + 60
        while not any(f.endswith(".part") and os.path.getsize(self.path(f)) > 0 for f in self.files()):
            self.assertLess(time.monotonic(), deadline, "nothing was written for a minute")
            time.sleep(0.01)

    def test_file_is_removed(self):
        for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
            process = self.start("-o", "a.wav")
            self.wait_for_sound()
            process.send_signal(number)
            message = process.communicate(timeout=60)[1].decode()
            self.assertEqual(process.returncode, 128 + number, message)
            self.assertIn("interrupted", message)
            self.assertIn("a.wav was not written", message)
            self.assertEqual(self.files(), ["text.txt"])

    def test_old_file_stays(self):
        self.put("a.wav", b"old")
        process = self.start("-o", "a.wav")
        self.wait_for_sound()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(self.get("a.wav"), b"old")

    def test_ignored_signal_stays_ignored(self):
        """As nohup does it."""
        process = self.start("-o", "a.wav", preexec_fn=ignored_hangup)
        self.wait_for_sound()
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)

    def test_second_signal_ends_a_blocked_run(self):
        """Nobody reads the pipe: the first signal has to wait, the second does not."""
        process = self.start(stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.read(4), b"RIFF")
        time.sleep(0.5) # for the pipe to fill; whether it did changes only which signal ends it
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        self.assertIn(process.returncode, (-signal.SIGINT, 128 + signal.SIGINT))
        process.stdout.close()
        process.stderr.close()


if __name__ == "__main__":
    main()
