"""Every system call of the program fails in turn, once or from there on, with every errno it may have
(tests/support/failing_calls.c): an error with a message and no file, or the whole file, bit for bit.
Never a crash, a hang, a partial file or success with a wrong one. In the suite a sample of the faults,
the same each time; UT_TEST_FULL=1 for all of them, UT_TEST_SEED for another sample."""
import errno
import os
import random
import subprocess

from program import DATA, HOUSE, IDS, KOKORO, MULTI, TINY, UTTER, ProgramTest, main, needs_espeak

MODULE = os.environ["UT_FAULT_MODULE"]
FULL = os.environ.get("UT_TEST_FULL", "") not in ("", "0")
SEED = int(os.environ.get("UT_TEST_SEED", "1"))
N_SAMPLE = 24   # faults of each scenario in the suite
MAX_PLACES = 40 # calls of one kind that fail with one errno, however many there are: also of a full run
HANG_S = 60
SHORT = 0
OLD = b"what was there before"
TEXT = "Go on. Good day."

_OPEN = [errno.EIO, errno.EMFILE, errno.EINTR]
_FULL_DISK = [errno.EIO, errno.ENOSPC, errno.EDQUOT]
ERRORS = {
    "open": _OPEN + [errno.ENOSPC, errno.EDQUOT], "read": [errno.EIO, errno.EINTR, SHORT],
    "write": _FULL_DISK + [errno.EINTR, SHORT], "fsync": _FULL_DISK + [errno.EINTR],
    "rename": _FULL_DISK, "mmap": [errno.ENOMEM, errno.EIO], "close": _FULL_DISK + [errno.EINTR],
    "stat": [errno.EIO], "opendir": _OPEN, "readdir": [errno.EIO],
}
# For ever interrupted: the program would be right to try for ever.
ONCE_ONLY = {errno.EINTR}


class Faults(ProgramTest):
    def run_with(self, args, stdin, fault=None):
        """(exit status, standard output, standard error, calls of each kind and failed ones)"""
        environment = dict(os.environ, LD_PRELOAD=MODULE)
        if fault:
            kind, at, error, later = fault
            environment.update(UT_FAULT_CALL=kind, UT_FAULT_AT=str(at), UT_FAULT_ERROR=str(error),
                               **({"UT_FAULT_LATER": "1"} if later else {}))
        reader, writer = os.pipe()
        environment["UT_FAULT_REPORT"] = str(writer)
        try:
            result = subprocess.run([UTTER, *args], input=stdin, capture_output=True, cwd=self.folder,
                                    timeout=HANG_S, env=environment, pass_fds=[writer], check=False)
            os.close(writer)
            writer = None
            report = os.read(reader, 4096).decode().split()
        finally:
            os.close(reader)
            if writer is not None:
                os.close(writer)
        return result.returncode, result.stdout, result.stderr, dict(zip(report[::2], map(int, report[1::2])))

    def put_back(self, output, before):
        for name in self.files():
            if name == output or name not in before:
                os.remove(self.path(name))
        if output in before:
            self.put(output, before[output])

    def check(self, status, out, err, output, before, expected, fallback):
        """What is left after one fault. `expected`: standard output and file without faults."""
        message = err.decode(errors="replace")
        where = f"status {status}: {message}"
        self.assertIn(status, (0, 1), where)
        left = {name: self.get(name) for name in self.files()}
        self.assertEqual(set(left) - {output}, set(before) - {output}, where)
        file = left.get(output)
        if status == 0:
            stands_in = fallback and "utter: warning: " in message
            self.assertTrue((out, file) == expected or stands_in, f"{where}: another result")
        else:
            self.assertIn("utter: error: ", message, where)
            self.assertTrue(file in (before.get(output), expected[1]), f"{where}: a partial file")

    def places(self, chance, n):
        """The last ones always: most of the first are espeak-ng's search for voices."""
        last = range(max(1, n - 7), n + 1)
        first = range(1, last.start)
        return [*last, *chance.sample(first, min(MAX_PLACES - len(last), len(first)))]

    def sweep(self, *args, output=None, stdin=b"", fallback=False):
        before = {name: self.get(name) for name in self.files()}
        status, out, err, counts = self.run_with(args, stdin)
        self.assertEqual(status, 0, err)
        expected = out, self.get(output) if output else None
        self.put_back(output, before)
        chance = random.Random(SEED)
        faults = [(kind, at, error, later) for kind, errors in ERRORS.items() for error in errors
                  for later in (False, True) if not (later and error in ONCE_ONLY)
                  for at in self.places(chance, counts[kind])]
        if not FULL:
            faults = chance.sample(faults, min(N_SAMPLE, len(faults)))
        n_errors, bad = 0, []
        for fault in faults:
            try:
                status, out, err, counts = self.run_with(args, stdin, fault)
                n_errors += status == 1
                self.check(status, out, err, output, before, expected, fallback)
                self.assertGreater(counts["failed"], 0, f"{fault}: did not happen")
            except (AssertionError, subprocess.TimeoutExpired) as problem:
                bad.append(f"{fault}: {problem}")
            self.put_back(output, before)
        print(f"{self.id()}: {len(faults)} faults injected, {len(faults) - len(bad)} handled "
              f"({n_errors} with an error)", flush=True)
        if bad:
            self.fail("\n".join(bad[:20]))
        self.assertGreater(n_errors, 0)


class Speak(Faults):
    def test_ids_to_a_new_file(self):
        self.sweep("speak", "-m", TINY, "--ids", IDS, "-o", "o.wav", "--no-fallback", output="o.wav")

    def test_ids_over_an_old_file(self):
        self.put("o.raw", OLD)
        self.sweep("speak", "-m", HOUSE, "--ids", IDS, "-o", "o.raw", "--no-fallback", output="o.raw")

    def test_ids_to_a_pipe(self):
        self.sweep("speak", "-m", MULTI, "--ids", IDS, "--speaker", "1", "--no-fallback")

    @needs_espeak
    def test_text_of_a_file(self):
        self.put("t.txt", TEXT.encode())
        self.sweep("speak", "-m", TINY, "-f", "t.txt", "-o", "o.wav", "--no-fallback", output="o.wav")

    @needs_espeak
    def test_words_of_another_language(self):
        self.sweep("speak", "-m", TINY, "--lang", "fr", "-o", "o.wav", "--no-fallback",
                   "Bon weekend, Facebook.", output="o.wav")

    @needs_espeak
    def test_text_with_a_stand_in(self):
        self.sweep("speak", "-m", HOUSE, "-f", "-", "-o", "o.wav", output="o.wav", stdin=TEXT.encode(),
                   fallback=True)

    @needs_espeak
    def test_kokoro(self):
        self.sweep("speak", "-m", KOKORO, "-v", "af_synth+bm_synth", "-o", "o.wav", "--no-fallback", TEXT,
                   output="o.wav")

    @needs_espeak
    def test_espeak(self):
        self.sweep("speak", "-m", "espeak", "-o", "o.wav", TEXT, output="o.wav")


class Found(Faults):
    """What faults have brought to light, each with the call that showed it."""

    def fails_with(self, fault, words, *args):
        before = self.files()
        status, _, err, counts = self.run_with(args, b"", fault)
        self.assertEqual(status, 1, err)
        self.assertIn(words, err.decode())
        self.assertGreater(counts["failed"], 0)
        self.assertEqual(self.files(), before)

    @needs_espeak
    def test_espeaks_files(self):
        """espeak-ng spoke without its dictionary, in another voice, or crashed."""
        for model in TINY, KOKORO: # whose lexicon spelled the words it lacks
            args = "speak", "-m", model, "-o", "o.wav", "--no-fallback", "Zorky grummels."
            n_opened, n_told = self.run_with(args, b"")[3]["open"], 0
            expected = self.get("o.wav")
            for at in [*range(1, 9), *range(n_opened - 9, n_opened + 1)]:
                for later in False, True:
                    status, _, err, _ = self.run_with(args, b"", ("open", at, errno.EMFILE, later))
                    self.assertIn(status, (0, 1), err)
                    self.same(self.get("o.wav"), expected)
                    n_told += b"espeak-ng cannot read its data: Too many open files" in err
            self.assertGreaterEqual(n_told, 4)

    @needs_espeak
    def test_no_sound_server(self):
        """espeak-ng connected to PulseAudio, which made folders and ended the process, though only phonemes
        were wanted, or samples by callback."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("XDG_")}
        for model in TINY, "espeak":
            self.ok("speak", "-m", model, "-o", "o.wav", TEXT, env=dict(environment, HOME=self.folder))
            self.assertEqual(self.files(), ["o.wav"])

    def test_a_folder_that_cannot_be_read(self):
        """The entries after the failing one were taken for absent: the first of two models spoke."""
        for name in "a.onnx", "a.onnx.json", "b.onnx", "b.onnx.json":
            with open(TINY + name[6:], "rb") as file:
                self.put(name, file.read())
        for at in range(1, 8):
            self.fails_with(("readdir", at, errno.EIO, False), "", "speak", "-m", ".", "--ids", IDS,
                            "-o", "o.wav", "--no-fallback")


class Others(Faults):
    def test_import_kokoro(self):
        self.sweep("import", KOKORO, "-o", "k.gguf", output="k.gguf")

    def test_import_over_an_old_file(self):
        self.put("p.gguf", OLD)
        self.sweep("import", TINY, "-o", "p.gguf", "--type", "f16", output="p.gguf")

    def test_trace(self):
        self.sweep("trace", TINY, f"{DATA}/piper/golden_tiny.safetensors", "-o", "t.safetensors",
                   output="t.safetensors")

    def test_info(self):
        for path in KOKORO, TINY:
            self.sweep("info", "--json", "-t", path)


if __name__ == "__main__":
    main()
