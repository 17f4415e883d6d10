"""utter speak where all is well: sources of text, places for sound, formats, options, reports."""
import io
import json
import os
import pty
import subprocess
import unittest
import wave

from program import (HOUSE, IDS, MULTI, TINY, UTTER, ProgramTest, main, needs_encoders, needs_espeak,
                     wav_fields)


class Places(ProgramTest):
    def test_file(self):
        self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a.wav")
        self.assertEqual(self.files(), ["a.wav"])
        riff_size, rate, data_size = wav_fields(self.get("a.wav"))
        self.assertEqual(rate, 22050)
        self.assertEqual((riff_size, data_size), (len(self.get("a.wav")) - 8, len(self.get("a.wav")) - 44))
        self.assertGreater(len(self.samples("a.wav")), 1000)

    def test_file_is_replaced(self):
        self.put("a.wav", b"old")
        os.chmod(self.path("a.wav"), 0o600)
        self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a.wav")
        self.assertGreater(len(self.samples("a.wav")), 1000)
        self.assertEqual(os.stat(self.path("a.wav")).st_mode & 0o777, 0o600)

    def test_pipe_has_the_same_samples_as_the_file(self):
        self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a.wav")
        for args in [], ["-o", "-"], ["-o", "/dev/stdout"]:
            out = self.ok("speak", "-m", TINY, "--ids", IDS, *args).stdout
            self.assertEqual(wav_fields(out), (0xFFFFFFFF, 22050, 0xFFFFFFFF))
            self.same(out[44:], self.samples("a.wav"))
            with wave.open(io.BytesIO(out)) as w:
                self.same(w.readframes(w.getnframes()), self.samples("a.wav"))
        self.assertEqual(self.files(), ["a.wav"])

    def test_redirected_file_gets_its_sizes(self):
        with open(self.path("r.wav"), "wb") as f:
            subprocess.run([UTTER, "speak", "-m", TINY, "--ids", IDS], stdout=f, check=True,
                           stderr=subprocess.DEVNULL)
        self.assertEqual(wav_fields(self.get("r.wav"))[2], len(self.get("r.wav")) - 44)

    def test_null_device(self):
        self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "/dev/null")
        self.assertTrue(os.path.exists("/dev/null"))

    def test_playing(self):
        """ALSA writes what it would play to a file, if PortAudio and ALSA are there."""
        config = self.put("alsa.conf", (
            'pcm.!default { type file slave.pcm { type null } format "raw" file "%s" }\n'
            % self.path("played.raw")).encode())
        environment = dict(os.environ, ALSA_CONFIG_PATH=config)
        result = self.run_utter("speak", "-m", TINY, "--ids", IDS, "--play", "--json", "-o", "a.f32",
                                env=environment)
        if result.returncode != 0 and b"without PortAudio" in result.stderr:
            self.skipTest("built without PortAudio")
        if result.returncode != 0 and b"no sound device" in result.stderr:
            self.skipTest("PortAudio knows no ALSA")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(json.loads(result.stdout)["samples"] * 4, len(self.get("a.f32")))
        played, written = self.get("played.raw"), self.get("a.f32")
        self.same(played[:len(written)], written) # silence may follow


class Formats(ProgramTest):
    MAGIC = {"wav": b"RIFF", "flac": b"fLaC", "opus": b"OggS", "ogg": b"OggS", "mp3": b"\xff"}
    CODEC = {"opus": b"OpusHead", "ogg": b"\x01vorbis"}

    def check(self, extension, data):
        self.assertTrue(data.startswith(self.MAGIC[extension]), data[:8])
        self.assertIn(self.CODEC.get(extension, b""), data[:100])
        self.assertGreater(len(data), 1000)

    @needs_encoders
    def test_by_extension(self):
        for extension in self.MAGIC:
            self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a." + extension)
            self.check(extension, self.get("a." + extension))
        self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "without_extension")
        self.check("wav", self.get("without_extension"))

    @needs_encoders
    def test_by_option_to_a_pipe(self):
        for name, extension in [("wav", "wav"), ("flac", "flac"), ("opus", "opus"), ("vorbis", "ogg"),
                                ("mp3", "mp3")]:
            self.check(extension, self.ok("speak", "-m", TINY, "--ids", IDS, "--format", name).stdout)

    def test_raw(self):
        self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a.wav")
        s16 = self.ok("speak", "-m", TINY, "--ids", IDS, "--format", "pcm").stdout
        f32 = self.ok("speak", "-m", TINY, "--ids", IDS, "--format", "pcm-f32").stdout
        self.same(s16, self.samples("a.wav"))
        self.assertEqual(len(f32), 2 * len(s16))

    @needs_encoders
    def test_option_wins_over_extension(self):
        self.ok("speak", "-m", TINY, "--ids", IDS, "--format", "flac", "-o", "a.wav")
        self.check("flac", self.get("a.wav"))


class Sources(ProgramTest):
    @needs_espeak
    def test_words_file_and_standard_input_are_the_same(self):
        text = "Good morning, everybody."
        self.ok("speak", "-m", TINY, "-o", "a.wav", *text.split())
        self.ok("speak", "-m", TINY, "-o", "b.wav", text)
        self.ok("speak", "-m", TINY, "-o", "c.wav", "-f", self.put("t.txt", text.encode()))
        self.ok("speak", "-m", TINY, "-o", "d.wav", "-f", "-", stdin=text.encode())
        self.ok("speak", "-m", TINY, "-o", "e.wav", stdin=text.encode())
        self.ok("speak", "-m", TINY, "-o", "f.wav", stdin=b"\xef\xbb\xbf" + text.encode())
        for name in "bcdef":
            self.same(self.samples(name + ".wav"), self.samples("a.wav"))

    @needs_espeak
    def test_text_that_begins_with_a_dash(self):
        self.ok("speak", "-m", TINY, "-o", "a.wav", "--", "-5 degrees")

    @needs_espeak
    def test_a_megabyte_of_text(self):
        self.ok("speak", "-m", TINY, "-o", "a.wav", "--json", stdin=b"Good" + b" " * 1000000 + b"morning.")
        self.assertGreater(len(self.samples("a.wav")), 1000)

    @needs_espeak
    def test_default_voice_is_named(self):
        result = self.ok("speak", "Hello.", "-o", "a.wav")
        self.assertIn("speaking with the voice", result.stderr.decode())
        self.assertEqual(self.ok("speak", "Hello.", "-o", "a.wav", "-q").stderr, b"")

    @needs_espeak
    def test_formant_voice(self):
        self.ok("speak", "-m", "espeak", "-o", "a.wav", "Hello.")
        self.ok("speak", "-m", "espeak:de", "-o", "b.wav", "Hello.")
        self.ok("speak", "--backend", "espeak", "-o", "c.wav", "Hello.")
        self.different(self.samples("a.wav"), self.samples("b.wav"))

    def test_voice_by_folder(self):
        self.ok("speak", "-m", HOUSE, "--ids", IDS, "-o", "a.wav")
        self.ok("speak", "-m", HOUSE + "/voice.safetensors", "--ids", IDS, "-o", "b.wav")
        self.same(self.samples("a.wav"), self.samples("b.wav"))


class Options(ProgramTest):
    def speak(self, *args, model=TINY):
        self.ok("speak", "-m", model, "--ids", IDS, "-o", "o.wav", *args)
        return self.samples("o.wav")

    def test_seed(self):
        self.same(self.speak("--seed", "7"), self.speak("--seed=7"))
        self.different(self.speak("--seed", "7"), self.speak("--seed", "8"))
        still = self.speak("--seed", "7", "--noise", "0", "--noise-w", "0")
        self.same(still, self.speak("--seed", "8", "--noise", "0", "--noise-w", "0"))

    def test_speed(self):
        lengths = [len(self.speak("--noise-w", "0", "--speed", s)) for s in ("0.5", "1", "2")]
        self.assertGreater(lengths[0], 1.5 * lengths[1])
        self.assertGreater(lengths[1], 1.5 * lengths[2])

    def test_speaker_by_name_and_number(self):
        speakers = [self.speak("--speaker", s, model=MULTI) for s in ("spk2", "2", "spk1")]
        self.same(speakers[0], speakers[1])
        self.different(speakers[0], speakers[2])

    def test_voice_is_a_speaker_by_name(self):
        self.same(self.speak("-v", "spk2", model=MULTI), self.speak("--speaker", "2", model=MULTI))
        self.same(self.speak("--voice", "spk1", model=MULTI), self.speak("-vspk1", model=MULTI))

    @needs_espeak
    def test_names_cut_short(self):
        for option in "--lang", "--language", "--la":
            self.ok("speak", "-m", TINY, "-o", "l.wav", "Guten Tag.", option, "de")
        self.ok("speak", "-m", TINY, "-o", "e.wav", "Guten Tag.")
        self.different(self.samples("l.wav"), self.samples("e.wav"))

    def test_volume(self):
        self.assertEqual(set(self.speak("--volume", "0")), {0})

    def test_threads_do_not_change_the_sound(self):
        self.same(self.speak("--threads", "1"), self.speak("--threads", "3"))

    def test_processor_level(self):
        self.assertGreater(len(self.speak("--cpu", "scalar")), 1000)


class Reports(ProgramTest):
    def test_json(self):
        answer = json.loads(self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a.wav", "--json").stdout)
        self.assertEqual(answer["output"], "a.wav")
        self.assertEqual(answer["backend"], "native")
        self.assertIsNone(answer["fallback_reason"])
        self.assertEqual(answer["sample_rate_hz"], 22050)
        self.assertEqual(answer["samples"] * 2, len(self.samples("a.wav")))
        self.assertAlmostEqual(answer["audio_s"], answer["samples"] / 22050, places=6)
        self.assertEqual(set(answer["stages"]), {"phonemize_s", "encode_s", "flow_s", "decode_s"})

    def test_stats(self):
        message = self.ok("speak", "-m", TINY, "--ids", IDS, "-o", "a.wav", "--stats").stderr.decode()
        self.assertIn("times real time", message)
        self.assertIn("decoder", message)

    @needs_espeak
    def test_progress(self):
        args = ["speak", "-m", TINY, "-o", "a.wav", "One. Two. Three."]
        self.assertEqual(self.ok(*args).stderr, b"") # not a terminal
        message = self.ok(*args, "--progress").stderr.decode()
        self.assertIn("100 %", message)
        self.assertEqual(self.ok(*args, "--progress", "--quiet").stderr, b"")


class Terminal(ProgramTest):
    """With a pseudo-terminal for one or more of the streams."""

    def run_in_terminal(self, *args, stdin=None, stdout=None, stderr=None):
        """Streams that are "tty" get the terminal; returns exit code, what it showed, and stdout."""
        master, slave = pty.openpty()
        streams = [slave if s == "tty" else s for s in (stdin, stdout, stderr)]
        process = subprocess.Popen([UTTER, *args], cwd=self.folder, stdin=streams[0] or subprocess.DEVNULL,
                                   stdout=streams[1] or subprocess.PIPE, stderr=streams[2] or subprocess.PIPE)
        out, err = process.communicate(timeout=120)
        os.close(slave)
        shown = b""
        try:
            while chunk := os.read(master, 4096):
                shown += chunk
        except OSError: # the other side is closed
            pass
        os.close(master)
        return process.returncode, shown.decode(), (out or b"") + (err or b"")

    def test_sound_is_not_written_to_it(self):
        code, shown, err = self.run_in_terminal("speak", "-m", TINY, "--ids", IDS, stdout="tty")
        self.assertEqual((code, shown), (2, ""))
        self.assertIn(b"not written to a terminal", err)
        self.assertIn(b"--play", err)

    def test_nothing_to_read(self):
        code, _, err = self.run_in_terminal("speak", "-m", TINY, "-o", "a.wav", stdin="tty")
        self.assertEqual(code, 2)
        self.assertIn(b"nothing to speak: give the text", err)

    @needs_espeak
    def test_progress_is_shown_for_files_only(self):
        args = ["speak", "-m", TINY, "One. Two."]
        code, shown, _ = self.run_in_terminal(*args, "-o", "a.wav", stderr="tty")
        self.assertEqual(code, 0)
        self.assertIn("100 %", shown)
        self.assertIn("a.wav: ", shown)
        code, shown, _ = self.run_in_terminal(*args, stderr="tty")
        self.assertEqual((code, shown), (0, ""))
        code, shown, _ = self.run_in_terminal(*args, "-o", "a.wav", "-q", stderr="tty")
        self.assertEqual((code, shown), (0, ""))


if __name__ == "__main__":
    main()
