"""Bad input and bad places: a message that says what and what to do, the right exit code, no file."""
import os
import resource
import subprocess

from program import HAS_ENCODERS, IDS, MULTI, TINY, UTTER, ProgramTest, main, needs_encoders, needs_espeak


class WrongUsage(ProgramTest):
    def test_commands(self):
        self.fails(2, ['no command "spaek"', 'did you mean "speak"'], "spaek")
        self.fails(2, ['no command "xyzzy"', "utter help"], "xyzzy")
        self.fails(2, ['no command "bnech"', 'did you mean "bench"'], "help", "bnech")

    def test_options(self):
        self.fails(2, ["no option --speaher", "did you mean --speaker?", "utter help speak"], "speak",
                   "--speaher", "1")
        self.fails(2, "no option -x", "speak", "-x")
        self.fails(2, "--s may be --speaker, --speed, --silence, --seed, --stats", "speak", "--s", "1")
        self.fails(2, "--speed needs a value", "speak", "--speed")
        self.fails(2, "--play takes no value", "speak", "--play=1")
        for command in "info", "voices", "backends", "trace", "bench":
            self.fails(2, ["no option --bananas", "utter help " + command], command, "--bananas")

    def test_numbers(self):
        for option, values in {
            "--speed": ["0", "-1", "1e9", "nan", "inf", "fast", "", "1x", " 1", "0.09", "10.1"],
            "--noise": ["-0.1", "10.1", "nan"], "--noise-w": ["-1", "11"], "--volume": ["-1", "nan"],
            "--silence": ["-1", "11", "inf"], "--seed": ["-1", "x", "18446744073709551616", "1.5"],
            "--threads": ["-1", "257", "two", "1.5"], "--ids": ["", "a", "1,,2", "1 2", "99999999999"],
        }.items():
            for value in values:
                self.fails(2, option, "speak", "-m", TINY, "-o", "a.wav", option, value, "Hello.")

    def test_choices(self):
        self.fails(2, ["--backend", "auto, native, espeak, onnx"], "speak", "--backend", "ort", "Hi.", "-o", "a.wav")
        self.fails(2, ["--provider", "cpu, cuda, coreml"], "speak", "--provider", "tpu", "Hi.", "-o", "a.wav")
        self.fails(2, ["--cpu", "avx512"], "speak", "--cpu", "mmx", "Hi.", "-o", "a.wav")
        self.fails(2, ["--format", "opus"], "speak", "--format", "aac", "Hi.", "-o", "a.wav")

    def test_combinations(self):
        self.fails(2, "not in several ways", "speak", "Hi.", "-f", "t.txt", "-o", "a.wav")
        self.fails(2, "not in several ways", "speak", "Hi.", "--ids", "1,2", "-o", "a.wav")
        self.fails(2, "--voice and --speaker", "speak", "Hi.", "-o", "a.wav", "-v", "a", "--speaker", "1")
        self.fails(2, "--voice or --speaker", "bench", "-v", "a", "--speaker", "1")
        self.fails(2, "--json and the sound", "speak", "Hi.", "--json")
        self.fails(2, "--json and the sound", "speak", "Hi.", "--json", "-o", "-")
        self.fails(2, "one voice at a time", "info", TINY, MULTI)
        self.fails(2, "one voice at a time", "voices", TINY, MULTI)
        self.fails(2, "-m", "backends", TINY)
        self.fails(2, "a model and a recording", "trace", TINY)
        self.fails(2, "one model and one recording", "trace", TINY, TINY, TINY)
        self.fails(2, "--text or --ids", "bench", "--text", "Hi.", "--ids", "1,2")
        self.fails(2, "--text", "bench", "Hi.")
        self.fails(2, "--scales needs 3 numbers", "bench", "--scales", "1,2")
        for runs in "0", "1001", "x":
            self.fails(2, "--runs", "bench", "--runs", runs)


class BadVoices(ProgramTest):
    def speak(self, words, model, *args):
        return self.fails(1, words, "speak", "-m", model, "--ids", IDS, "-o", "a.wav", "--no-fallback", *args)

    def test_missing_file(self):
        self.speak(["no_such.onnx", "No such file"], "no_such.onnx")
        self.fails(1, "no_such.onnx", "speak", "-m", "no_such.onnx", "Hi.", "-o", "a.wav") # no fallback for it
        self.fails(1, "no_such.onnx", "info", "no_such.onnx")
        self.fails(1, "no_such.onnx", "voices", "-m", "no_such.onnx")
        self.fails(1, "no_such.onnx", "bench", "-m", "no_such.onnx")
        self.fails(1, "no_such.onnx", "backends", "-m", "no_such.onnx")

    def test_folder_without_a_voice(self):
        os.mkdir(self.path("empty"))
        self.speak("empty", "empty")

    def test_empty_file(self):
        self.put("empty.onnx", b"")
        self.put("empty.onnx.json", b"{}")
        self.speak("empty.onnx", "empty.onnx")
        self.fails(1, "empty.onnx", "info", "empty.onnx")

    def test_no_configuration(self):
        with open(TINY, "rb") as f:
            self.put("lonely.onnx", f.read())
        self.speak("lonely.onnx.json", "lonely.onnx")

    def test_damaged_voice(self):
        self.put("noise.onnx", os.urandom(1000))
        self.put("noise.onnx.json", b"{}")
        self.speak("noise.onnx", "noise.onnx")

    @needs_espeak
    def test_fallback_speaks(self):
        self.put("noise.onnx", b"\x07" * 1000)
        self.put("noise.onnx.json", b"{}")
        result = self.ok("speak", "-m", "noise.onnx", "Hello.", "-o", "a.wav")
        self.assertIn("utter: warning: ", result.stderr.decode())
        self.assertGreater(len(self.samples("a.wav")), 1000)

    def test_unknown_speaker(self):
        self.speak(["spk9", "spk"], MULTI, "--speaker", "spk9")
        self.speak("3", MULTI, "--speaker", "3")
        self.speak(["spk9", "did you mean 'spk"], MULTI, "-v", "spk9")
        self.speak("no speaker 'spk0+spk1'", MULTI, "-v", "spk0+spk1")
        self.speak("no speaker ''", MULTI, "-v", "")

    def test_ids_out_of_range_are_skipped_with_a_warning(self):
        for ids in "1,0,256,2", "1,0,-1,2":
            result = self.ok("speak", "-m", TINY, "--ids", ids, "-o", "a.wav")
            self.assertIn("utter: warning: 1 phoneme id", result.stderr.decode())

    def test_trace(self):
        self.fails(1, "no_such", "trace", TINY, "no_such.safetensors")
        self.fails(1, "no_such", "trace", "no_such.onnx", self.put("x.safetensors", b""))
        self.fails(1, "x.safetensors", "trace", TINY, "x.safetensors")


class BadText(ProgramTest):
    def test_empty(self):
        for text in "", " ", " \n\t ":
            self.fails(1, "nothing to speak", "speak", "-m", TINY, "-o", "a.wav", text)
            self.fails(1, "nothing to speak", "speak", "-m", TINY, stdin=text.encode())
            self.fails(1, "nothing to speak", "speak", "-m", TINY, "-f", self.put("t", text.encode()))

    @needs_espeak
    def test_no_letter_or_digit(self):
        for text in "...", "?!", "\u2014 \u2026", "\u00a0\u3000":
            self.fails(1, "no letter or digit", "speak", "-m", TINY, "-o", "a.wav", text)
            self.fails(1, "no letter or digit", "speak", "-m", TINY, text) # no header in the pipe

    @needs_espeak
    def test_invalid_utf8(self):
        message = self.fails(1, "UTF-8", "speak", "-m", TINY, "-o", "a.wav", stdin=b"Hell\xf6.")
        self.assertIn("4", message) # the offset

    def test_files_that_are_no_text(self):
        self.fails(1, "directory", "speak", "-m", TINY, "-o", "a.wav", "-f", self.folder)
        self.fails(1, ["zero byte", "offset 2"], "speak", "-m", TINY, "-o", "a.wav", "-f",
                   self.put("binary", b"ab\0cd"))
        self.fails(1, ["no_such.txt", "No such file"], "speak", "-m", TINY, "-o", "a.wav", "-f", "no_such.txt")

    def test_more_text_than_the_limit(self):
        with open(self.path("big.txt"), "wb") as f:
            f.truncate((64 << 20) + 1)
        self.fails(1, ["big.txt", "64 MiB"], "speak", "-m", TINY, "-o", "a.wav", "-f", "big.txt")


class BadPlaces(ProgramTest):
    def speak(self, words, output, **more):
        return self.fails(1, words, "speak", "-m", TINY, "--ids", IDS, "-o", output, **more)

    def test_places(self):
        os.mkdir(self.path("folder"))
        self.speak("folder", "folder")
        self.speak(["no_such/a.wav", "No such file"], "no_such/a.wav")
        self.speak("empty", "")
        self.speak(["/dev/full", "No space left", "free some space"], "/dev/full")

    @needs_encoders
    def test_every_format_on_a_full_disk(self):
        for name in "wav", "wav-f32", "pcm", "pcm-f32", "flac", "opus", "vorbis", "mp3":
            self.fails(1, "No space left", "speak", "-m", TINY, "--ids", IDS, "-o", "/dev/full", "--format", name)

    def test_formats_that_the_build_lacks(self):
        if HAS_ENCODERS:
            self.skipTest("built with libsndfile and libsoxr")
        self.speak("utter was built without lib", "a.opus")

    def test_full_disk_leaves_no_file(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        self.speak("File too large", "a.wav", preexec_fn=limit)

    def test_full_standard_output(self):
        with open("/dev/full", "wb") as full:
            for args in (["speak", "-m", TINY, "--ids", IDS], ["info", TINY], ["info", TINY, "--json"], ["help"],
                         ["voices", "-m", MULTI], ["backends"], ["--version"], ["help", "speak"]):
                result = subprocess.run([UTTER, *args], stdout=full, stderr=subprocess.PIPE, check=False)
                self.assertEqual(result.returncode, 1, args)
                self.assertIn(b"No space left", result.stderr)

    def test_unwritable_folder(self):
        if os.geteuid() == 0:
            self.skipTest("root may write anywhere")
        os.chmod(self.folder, 0o555)
        self.speak("Permission denied", "a.wav")

    def test_reader_that_goes_away(self):
        process = subprocess.Popen([UTTER, "speak", "-m", TINY, "--ids", IDS], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        self.assertEqual(process.wait(), 1)
        self.assertIn(b"closed by its reader", message)


if __name__ == "__main__":
    main()
