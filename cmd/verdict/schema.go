package main

import (
	"bytes"
	"crypto/md5" //nolint:gosec // one of Avro's fingerprints
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/linkedin/goavro/v2"
	"github.com/spf13/cobra"
	"github.com/twmb/avro"

	"verdict/schemas"
)

// maxDatum is the largest datum that the schema commands convert. Goavro would make room for whatever a few bytes claim, so its limits follow from this.
const maxDatum = 1 << 20

func newSchemaCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "schema",
		Short: "Look into Avro schemas, and convert data between Avro and JSON",
		Long:  "FILE is an Avro schema (.avsc) of a record, or the name of one that comes with verdict: order, label, decision.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newSchemaPrintCommand(), newSchemaCanonicalCommand(), newSchemaFingerprintCommand(), newSchemaToJSONCommand(), newSchemaToAvroCommand())
	return c
}

func newSchemaPrintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "print FILE",
		Short: "Print a schema as it is written, such as that of an order to begin one's own from",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := readSchema(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", bytes.TrimSpace(text))
			return err
		},
	}
}

func newSchemaCanonicalCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "canonical FILE",
		Short: "Print a schema's parsing canonical form",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			canonical, err := canonicalForm(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", canonical)
			return err
		},
	}
}

func newSchemaFingerprintCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "fingerprint FILE",
		Short: "Print the fingerprints of a schema's canonical form: CRC-64-AVRO, MD5 and SHA-256",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			canonical, err := canonicalForm(args[0])
			if err != nil {
				return err
			}
			crc := avro.NewRabin()
			crc.Write(canonical)                                                                                                                        // a hash never fails
			_, err = fmt.Fprintf(c.OutOrStdout(), "crc-64-avro %016x\nmd5 %x\nsha-256 %x\n", crc.Sum64(), md5.Sum(canonical), sha256.Sum256(canonical)) //nolint:gosec // MD5 is one of Avro's fingerprints
			return err
		},
	}
}

// canonicalForm is twmb/avro's and not goavro's, which leaves traces of logical types in it ("bytes.decimal"), so that its fingerprints are not those of Java.
func canonicalForm(name string) ([]byte, error) {
	text, err := readSchema(name)
	if err != nil {
		return nil, err
	}
	parsed, err := avro.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w schema: %s: %w", errInvalid, name, err)
	}
	return parsed.Canonical(), nil
}

func newSchemaToJSONCommand() *cobra.Command {
	var framed, natural bool
	c := &cobra.Command{
		Use:   "to-json FILE",
		Short: "Read one Avro datum from stdin and print it as Avro's JSON",
		Long:  "The values of unions stand under the name of their branch, as goavro has it: {\"string\": …}, {\"long.timestamp-micros\": …}. Fields are sorted by name.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			codec, err := openSchema(args[0], jsonForm(natural))
			if err != nil {
				return err
			}
			datum, err := readDatum(c.InOrStdin())
			if err != nil {
				return err
			}
			if framed {
				if len(datum) < 5 || datum[0] != 0 {
					return fmt.Errorf("%w datum: does not begin with the frame of a schema registry", errInvalid)
				}
				datum = datum[5:]
			}
			text, err := avroToJSON(codec, datum)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", text)
			return err
		},
	}
	c.Flags().BoolVar(&framed, "framed", false, "the datum is in the framing of schema registries: byte 0, four bytes of id")
	c.Flags().BoolVar(&natural, "natural", false, "JSON without the branch names that Avro puts around the values of unions")
	return c
}

func newSchemaToAvroCommand() *cobra.Command {
	var id int64
	var natural bool
	c := &cobra.Command{
		Use:   "to-avro FILE",
		Short: "Read one datum as Avro's JSON from stdin and write it as Avro",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if id > math.MaxUint32 {
				return fmt.Errorf("%w usage: --id has more than 32 bits", errInvalid)
			}
			codec, err := openSchema(args[0], jsonForm(natural))
			if err != nil {
				return err
			}
			text, err := readDatum(c.InOrStdin())
			if err != nil {
				return err
			}
			var frame []byte
			if id >= 0 {
				frame = binary.BigEndian.AppendUint32([]byte{0}, uint32(id))
			}
			datum, err := jsonToAvro(codec, frame, text)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(datum)
			return err
		},
	}
	c.Flags().Int64Var(&id, "id", -1, "put the datum into the framing of schema registries, with this schema id")
	c.Flags().BoolVar(&natural, "natural", false, "JSON without the branch names that Avro puts around the values of unions")
	return c
}

// jsonForm returns the codec of the wanted JSON.
func jsonForm(natural bool) func(string) (*goavro.Codec, error) {
	if natural {
		return goavro.NewCodecForStandardJSONFull
	}
	return goavro.NewCodec
}

// readSchema returns the text of a file, or of a schema that comes with verdict, once it is known to be no trap.
func readSchema(name string) ([]byte, error) {
	text, err := os.ReadFile(name)
	if ours, ok := schemas.DefaultText(name); ok && err != nil {
		text, err = []byte(ours), nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w schema: %w", errInvalid, err)
	}
	if _, err := schemas.ParseSchema(name, text); err != nil {
		return nil, fmt.Errorf("%w schema: %w", errInvalid, err)
	}
	return text, nil
}

func openSchema(name string, open func(string) (*goavro.Codec, error)) (*goavro.Codec, error) {
	text, err := readSchema(name)
	if err != nil {
		return nil, err
	}
	codec, err := open(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w schema: %s: %w", errInvalid, name, err)
	}
	return codec, nil
}

func readDatum(in io.Reader) ([]byte, error) {
	datum, err := io.ReadAll(io.LimitReader(in, maxDatum+1))
	if err != nil {
		return nil, fmt.Errorf("reading the datum: %w", err)
	}
	if len(datum) > maxDatum {
		return nil, fmt.Errorf("%w datum: more than %d bytes", errInvalid, maxDatum)
	}
	return datum, nil
}

// avroToJSON bounds goavro by the variables that are its only bounds. This process decodes nothing else with it.
func avroToJSON(codec *goavro.Codec, datum []byte) ([]byte, error) {
	goavro.MaxBlockCount, goavro.MaxBlockSize = maxDatum, maxDatum
	native, rest, err := codec.NativeFromBinary(datum)
	if err != nil {
		return nil, fmt.Errorf("%w datum: %w", errInvalid, err)
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w datum: %d further bytes after its end", errInvalid, len(rest))
	}
	text, err := codec.TextualFromNative(nil, native)
	if err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	// Goavro writes fields in the order of a Go map, another one each time.
	sorted, err := jsontext.AppendFormat(nil, text, jsontext.ReorderRawObjects(true))
	if err != nil {
		return nil, fmt.Errorf("sorting JSON: %w", err)
	}
	return sorted, nil
}

func jsonToAvro(codec *goavro.Codec, frame, text []byte) ([]byte, error) {
	native, rest, err := codec.NativeFromTextual(text)
	if err != nil {
		return nil, fmt.Errorf("%w datum: %w", errInvalid, err)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w datum: %d further bytes after its end", errInvalid, len(rest))
	}
	datum, err := codec.BinaryFromNative(frame, native)
	if err != nil {
		return nil, fmt.Errorf("%w datum: %w", errInvalid, err)
	}
	return datum, nil
}
