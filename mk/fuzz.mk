# make fuzz                                  every target one after another, 60 s each; docs/fuzzing.md says what each holds to what
# make fuzz TARGET=json SECONDS=1800         one, for as long as one wants; several: TARGET='json state'
# make fuzz SECONDS=600 JOBS=2               two side by side
# make fuzz FIGURES=build/fuzz/figures.json  adds up what each target has had so far: seconds, runs, inputs, edges, findings
# make fuzz TARGET=json INPUT=FILE           runs one input again: what a finding says that one should do
#
# The target s3_list needs the AWS SDK, whose build takes minutes: it runs where it is named, or with S3=1.

TARGET  ?=
SECONDS ?= 60
JOBS    ?= 1
FIGURES ?=
INPUT   ?=
S3      ?=

.PHONY: fuzz

fuzz:
	@python3 fuzz/run.py --seconds $(SECONDS) --jobs $(JOBS) $(if $(FIGURES),--figures '$(FIGURES)') $(if $(INPUT),--input '$(INPUT)') \
	    $(if $(S3),--s3) $(TARGET)
