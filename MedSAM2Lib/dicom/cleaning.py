"""What a DICOM-SEG must not carry on from its source, and what must not get lost.

highdicom adds the scanner's institution and station as contributing equipment, and copies comments on the patient; it
leaves out that dates were changed, and the time zone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

_REMOVED_ANYWHERE = {
    *("ContributingEquipmentSequence", "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
    *("InstitutionCodeSequence", "InstitutionalDepartmentTypeCodeSequence", "StationName", "StationAETitle"),
    *("OperatorsName", "OperatorIdentificationSequence", "PhysiciansOfRecord", "PerformingPhysicianName"),
    *("ReferringPhysicianIdentificationSequence", "PhysiciansOfRecordIdentificationSequence"),
    *("PhysiciansReadingStudyIdentificationSequence", "ConsultingPhysicianIdentificationSequence"),
    *("PerformingPhysicianIdentificationSequence", "RequestingPhysicianIdentificationSequence"),
    *("ReferringPhysicianAddress", "ReferringPhysicianTelephoneNumbers", "ServiceEpisodeDescription"),
    *("AdmissionID", "IssuerOfAdmissionIDSequence", "EthnicGroup", "EthnicGroupCodeSequence"),
    *("NameOfPhysiciansReadingStudy", "RequestingPhysician", "RequestingService", "ConsultingPhysicianName"),
    *("PatientComments", "AdditionalPatientHistory", "ImageComments", "StudyComments", "VisitComments"),
    *("MedicalAlerts", "Allergies", "Occupation", "SmokingStatus", "PatientState"),
    *("ReasonForVisit", "ReasonForVisitCodeSequence"),
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "SpecialNeeds", "PregnancyStatus"),
    *("PatientAddress", "PatientTelephoneNumbers", "PatientTelecomInformation", "CountryOfResidence"),
    *("RegionOfResidence", "MilitaryRank", "BranchOfService", "PatientReligiousPreference"),
    *("ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization", "PatientMotherBirthName"),
    *("PatientBirthName", "OtherPatientNames", "PatientInsurancePlanCodeSequence"),
}
_KEPT_FROM_SOURCE = ("LongitudinalTemporalInformationModified", "TimezoneOffsetFromUTC")


def clean(dataset: Dataset, source: Dataset) -> None:
    """Removes private elements, places, staff and comments at every depth, and adds what highdicom leaves out."""
    dataset.remove_private_tags()
    dataset.walk(_remove)
    for name in _KEPT_FROM_SOURCE:
        value = source.get(name)
        if value:
            setattr(dataset, name, value)


def _remove(dataset: Dataset, element: DataElement) -> None:
    if element.keyword in _REMOVED_ANYWHERE:
        del dataset[element.tag]
