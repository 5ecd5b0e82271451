package apache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>recapito</groupId>
  <artifactId>kafkapeer</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>` + version + `</version>
    </dependency>
  </dependencies>
</project>
`

// fetch gives the folder with Kafka's jars, filled by Maven the first time. A fill that
// was cut short leaves no folder of that name.
func fetch(ctx context.Context, dir string) (string, error) {
	cache := os.Getenv("RECAPITO_KAFKA_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(user, "recapito")
	}
	libs := filepath.Join(cache, "kafka-"+version)
	if _, err := os.Stat(libs); err == nil {
		return libs, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	partial, err := os.MkdirTemp(cache, "partial")
	if err != nil {
		return "", err
	}
	pomFile := filepath.Join(dir, "pom.xml")
	if err := os.WriteFile(pomFile, []byte(pom), 0o600); err != nil {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "fetching Apache Kafka", version)
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--file", pomFile,
		"dependency:copy-dependencies", "-DoutputDirectory="+partial)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", errors.Join(fmt.Errorf("mvn: %w", notExit(err)), os.RemoveAll(partial))
	}
	if err := os.Rename(partial, libs); err != nil {
		// Another run was faster.
		if _, statErr := os.Stat(libs); statErr != nil {
			return "", err
		}
		return libs, os.RemoveAll(partial)
	}
	return libs, nil
}
